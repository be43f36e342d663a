-- Events that leave the service (outbox), that have arrived (inbox), and that were given up.

-- One row per event, written in the transaction of the change that it tells of. A relay
-- publishes it and sets the mark; the row stays seven days, to be published again should a
-- broker lose its tail.
create table outbox (
    created_at timestamptz not null default now(),
    id uuid not null,
    tenant_id uuid not null,
    entity text not null,
    entity_id text not null,
    revision bigint not null,
    kind text not null,
    version smallint not null,
    actor jsonb not null,
    address text,
    request_id text not null,
    traceparent text,
    data jsonb not null,
    -- How often publishing has failed, and when it is tried next.
    failures integer not null default 0,
    next_attempt_at timestamptz not null default now(),
    published_at timestamptz,
    -- The broker's place for the event, where it has one.
    sequence bigint,
    primary key (created_at, id)
) partition by range (created_at);

create index outbox_due on outbox (next_attempt_at, id) where published_at is null;

-- What each consumer has taken in. The time is the event's own, so that it is the same at
-- every delivery and partitions can hold the key.
create table inbox (
    event_time timestamptz not null,
    consumer text not null,
    event_id uuid not null,
    primary key (event_time, consumer, event_id)
) partition by range (event_time);

-- For rows of days that have no partition: none are lost when nobody made one in time.
create table outbox_default partition of outbox default;
create table inbox_default partition of inbox default;

-- Events that a consumer could not handle, kept until a person has looked.
create table dead_letters (
    id uuid primary key,
    consumer text not null,
    event_id uuid,
    tenant_id uuid,
    payload bytea not null,
    reason text not null,
    buried_at timestamptz not null default now(),
    unique (consumer, event_id)
);

select rota_platform_table('outbox');
select rota_platform_table('inbox');
select rota_platform_table('dead_letters');

-- Makes the partitions of today and the next three days, and drops those that have had their
-- time: seven days for the outbox (never one with an event still to publish), fifteen for
-- the inbox, which must outlast whatever can still be delivered. Runs as the owner, so that
-- the service's role needs no right to make or drop tables.
create function rota_roll_partitions() returns void
language plpgsql security definer as $$
declare
    today date := (now() at time zone 'utc')::date;
    parent text;
    time_column text;
    keep integer;
    day date;
    part text;
    low timestamptz;
    high timestamptz;
    busy boolean;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('rota.partitions.' || current_schema(), 0)) then
        return;
    end if;
    for parent, time_column, keep in
        values ('outbox', 'created_at', 7), ('inbox', 'event_time', 15)
    loop
        for day in select today + n from generate_series(0, 3) n loop
            part := parent || '_' || to_char(day, 'YYYYMMDD');
            continue when to_regclass(part) is not null;
            low := day::timestamp at time zone 'utc';
            high := (day + 1)::timestamp at time zone 'utc';
            -- Made apart and attached, which lets others write on meanwhile; rows that went
            -- to the default partition before move along.
            execute format('create table %I (like %I including all)', part, parent);
            execute format('lock table %I in access exclusive mode', parent || '_default');
            execute format(
                'with moved as (delete from %I where %I >= %L and %I < %L returning *) '
                'insert into %I select * from moved',
                parent || '_default', time_column, low, time_column, high, part);
            execute format('alter table %I attach partition %I for values from (%L) to (%L)',
                           parent, part, low, high);
        end loop;
        for part in
            select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = parent::regclass
              and c.relname ~ ('^' || parent || '_\d{8}$')
              and to_date(right(c.relname, 8), 'YYYYMMDD') < today - keep
        loop
            busy := false;
            if parent = 'outbox' then
                execute format('select exists (select from %I where published_at is null)', part)
                    into busy;
            end if;
            continue when busy;
            execute format('alter table %I detach partition %I', parent, part);
            execute format('drop table %I', part);
        end loop;
    end loop;
end $$;

do $$
begin
    execute format('alter function rota_roll_partitions() set search_path = %I, pg_temp',
                   current_schema());
    alter function rota_roll_partitions() set lock_timeout = '2s';
    revoke all on function rota_roll_partitions() from public;
    execute format('grant execute on function rota_roll_partitions() to %I',
                   'rota_' || current_schema());
end $$;

select rota_roll_partitions();
