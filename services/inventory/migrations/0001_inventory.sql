-- One row a device: what is known of it, by scope. A scope is a JSON object of
-- name -> {"v": value, "d": description, "t": timestamp}.
create table inventory.devices (
    tenant_id uuid not null,
    id uuid not null,
    -- Of deviceauth's last word on the device; 0 until the first has come.
    revision bigint not null default 0,
    -- Absent until deviceauth's first word.
    status text,
    identity jsonb not null default '{}',
    created_at timestamptz,
    check_in_at timestamptz,
    updated_at timestamptz not null,
    inventory jsonb not null default '{}',
    tags jsonb not null default '{}',
    tags_etag uuid,
    group_name text,
    primary key (tenant_id, id)
) with (fillfactor = 85);
select rota_tenant_table('devices');

-- The search index: which devices have which value. A term is eight bytes that stand for an
-- attribute, and its value in a form whose bytes sort as values do (model/term.rs). Rows follow
-- from those of devices and are written with them, in one transaction.
create table inventory.terms (
    tenant_id uuid not null,
    term bytea not null,
    device_id uuid not null,
    -- Of a list, the element that the device is sorted by, ascending and descending.
    least boolean not null,
    greatest boolean not null,
    primary key (tenant_id, term, device_id) include (least, greatest)
) with (
    -- Searches read the index alone, as far as the table has been vacuumed.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02
);
-- Some values are everywhere and most are rare; the planner must tell them apart.
alter table inventory.terms alter column term set statistics 1000;
select rota_tenant_table('terms');

-- How many devices have something: the attribute that eight bytes stand for, or the status or
-- the group that a term names. In shards, so that devices do not queue for one row.
create table inventory.counts (
    tenant_id uuid not null,
    item bytea not null,
    shard smallint not null,
    devices bigint not null,
    -- Of attributes, which one it is.
    scope smallint,
    name text,
    primary key (tenant_id, item, shard)
) with (fillfactor = 50);
select rota_tenant_table('counts');

-- Devices that are gone. Ids never come back, so that a late word about one changes nothing.
create table inventory.decommissioned (
    tenant_id uuid not null,
    device_id uuid not null,
    decommissioned_at timestamptz not null default now(),
    primary key (tenant_id, device_id)
);
select rota_tenant_table('decommissioned');
