-- What a service's migrations call to put each table behind its wall. Everything here lands
-- in the service's own schema: the first in the search path.

do $$
begin
    execute format('grant usage on schema %I to %I, %I', current_schema(),
                   'rota_' || current_schema(), 'rota_' || current_schema() || '_hot');
end $$;

-- Tables without a tenant: the short named list.
create table platform_tables (
    name name primary key
);

-- The oldest binary that this schema serves, as major.minor.patch.
create table served_binaries (
    only_row boolean primary key default true check (only_row),
    oldest text not null check (oldest ~ '^\d+\.\d+\.\d+$')
);
insert into served_binaries (oldest) values ('0.0.0');

-- Puts a table behind the tenant wall: the service's role sees and writes the rows of the
-- tenant that its transaction was begun for, and without one it sees nothing.
create function rota_tenant_table(name text) returns void language plpgsql as $$
declare
    target regclass := name::regclass;
    service text := 'rota_' || current_schema();
begin
    execute format('alter table %s enable row level security', target);
    execute format(
        'create policy tenant on %s to %I '
        'using (tenant_id = nullif(current_setting(''rota.tenant_id'', true), '''')::uuid)',
        target, service);
    execute format('grant select, insert, update, delete on %s to %I', target, service);
end $$;

-- Lets the hot role read all tenants' rows of a table, in single statements that name the
-- tenant or look up what names it.
create function rota_hot_table(name text) returns void language plpgsql as $$
declare
    target regclass := name::regclass;
    hot text := 'rota_' || current_schema() || '_hot';
begin
    execute format('create policy hot on %s for select to %I using (true)', target, hot);
    execute format('grant select on %s to %I', target, hot);
end $$;

-- Puts a table on the list of those without a tenant. Both roles may read it, the service's
-- may write it.
create function rota_platform_table(name text) returns void language plpgsql as $$
declare
    target regclass := name::regclass;
    service text := 'rota_' || current_schema();
begin
    insert into platform_tables select relname from pg_class where oid = target;
    execute format('grant select, insert, update, delete on %s to %I', target, service);
    execute format('grant select on %s to %I', target, service || '_hot');
end $$;

-- Names the oldest binary that can work with the schema as it is after this migration: only
-- a migration that contracts calls it.
create function rota_oldest_binary(version text) returns void language sql as $$
    update served_binaries set oldest = version
$$;

-- What stands outside every wall, in words; empty when all is well. Checked at every start.
create function rota_unwalled() returns setof text language sql stable as $$
    select format('table %s: call rota_tenant_table or rota_platform_table', c.relname)
    from pg_class c
    where c.relnamespace = current_schema()::regnamespace
      and c.relkind in ('r', 'p') and not c.relispartition
      and not c.relrowsecurity
      and c.relname not in (select p.name from platform_tables p)
      and c.relname !~ '^_(sqlx|rota_kit)_migrations$'
    union all
    select format('table %s: its primary key must begin with tenant_id', c.relname)
    from pg_class c
    where c.relnamespace = current_schema()::regnamespace
      and c.relkind in ('r', 'p') and not c.relispartition
      and c.relrowsecurity
      and not exists (
          select from pg_index i
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
          where i.indrelid = c.oid and i.indisprimary and a.attname = 'tenant_id')
$$;

select rota_platform_table('platform_tables');
select rota_platform_table('served_binaries');
