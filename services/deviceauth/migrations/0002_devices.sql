-- Devices and what they have shown of themselves.

create table devices (
    tenant_id uuid not null,
    id uuid not null,
    -- SHA-256 of the identity data in canonical form: sorted keys, no spaces.
    identity_hash bytea not null check (length(identity_hash) = 32),
    identity_data jsonb not null,
    -- Derived from the auth sets, best first; kept so that lists and counts are index reads.
    status text collate "C" not null
        check (status in ('accepted', 'preauthorized', 'pending', 'rejected', 'noauth')),
    decommissioning boolean not null default false,
    -- Grows with each change that others are told of.
    revision bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    -- When the device last got a token; written at most once an hour.
    check_in_at timestamptz,
    first_accepted_at timestamptz,
    primary key (tenant_id, id),
    unique (tenant_id, identity_hash)
) with (fillfactor = 90);

create index devices_status on devices (tenant_id, status, id);
-- What the limit counts.
create index devices_counted on devices (tenant_id)
    where status = 'accepted' and not decommissioning;

-- A device's identity together with one of its keys.
create table auth_sets (
    tenant_id uuid not null,
    id uuid not null,
    device_id uuid not null,
    identity_hash bytea not null check (length(identity_hash) = 32),
    -- SHA-256 of the public key as it stands here.
    key_hash bytea not null check (length(key_hash) = 32),
    -- PEM, normalised.
    public_key text not null,
    status text collate "C" not null
        check (status in ('accepted', 'preauthorized', 'pending', 'rejected')),
    -- Tokens carry it; those with a smaller one are revoked.
    epoch bigint not null default 1,
    created_at timestamptz not null,
    primary key (tenant_id, id),
    unique (tenant_id, identity_hash, key_hash),
    foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade
);

create index auth_sets_device on auth_sets (tenant_id, device_id);
-- One key of a device at a time opens the door.
create unique index auth_sets_one_accepted on auth_sets (tenant_id, device_id)
    where status = 'accepted';

-- How many devices a tenant may accept; no row: as many as it likes.
create table device_limits (
    tenant_id uuid primary key,
    max_devices bigint not null check (max_devices >= 0)
);

select rota_tenant_table('devices');
select rota_tenant_table('auth_sets');
select rota_tenant_table('device_limits');
-- The authentication of a known device is one statement.
select rota_hot_table('devices');
select rota_hot_table('auth_sets');
