-- Tenants, the people in them, and their sign-ins.

create table tenants (
    id uuid primary key,
    name text not null,
    -- Takes the devices that name no tenant of ours.
    is_default boolean not null default false,
    -- The signed text that devices send as `TenantToken`. It is found again by its hash, so
    -- that it outlives the key that signed it.
    token text not null,
    token_hash bytea not null unique check (length(token_hash) = 32),
    suspended boolean not null default false,
    created_at timestamptz not null
);
create unique index tenants_one_default on tenants (is_default) where is_default;

-- Whose e-mail address is whose, over all tenants: the first look of a sign-in.
create table sign_ins (
    -- Lower case.
    email text primary key,
    tenant_id uuid not null references tenants (id),
    user_id uuid not null
);

create table users (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    email text not null,
    -- argon2id, PHC string.
    password_hash text not null,
    roles text[] not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    last_login_at timestamptz,
    primary key (tenant_id, id),
    unique (tenant_id, email)
);

-- One row a token; its id is the token's `jti`.
create table sessions (
    tenant_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    created_at timestamptz not null,
    -- Null: the token has no end.
    expires_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);
create index sessions_user on sessions (tenant_id, user_id, created_at);

select rota_platform_table('tenants');
select rota_platform_table('sign_ins');
select rota_tenant_table('users');
select rota_tenant_table('sessions');
-- A sign-in starts without a tenant.
select rota_hot_table('users');
