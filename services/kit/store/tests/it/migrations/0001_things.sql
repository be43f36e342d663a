create table probe.things (
    tenant_id uuid not null,
    id uuid not null,
    name text not null,
    size integer not null default 0 constraint things_size_positive check (size >= 0),
    primary key (tenant_id, id),
    constraint things_name_unique unique (tenant_id, name)
);
select rota_tenant_table('things');
select rota_hot_table('things');

create table probe.secrets (
    tenant_id uuid not null,
    id uuid not null,
    primary key (tenant_id, id)
);
select rota_tenant_table('secrets');

create table probe.keys (
    id uuid primary key,
    name text not null
);
select rota_platform_table('keys');
