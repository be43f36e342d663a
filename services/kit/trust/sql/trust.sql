-- What a service that issues tokens keeps about them: the keys that sign, and what was
-- revoked. Linked into the migrations of each such service.

-- One row a key. Tokens are signed with the youngest that signs already, and are believed
-- while their key stands here.
create table signing_keys (
    -- The `kid` of the tokens.
    id text primary key,
    -- Raw Ed25519.
    public_key bytea not null check (length(public_key) = 32),
    -- PKCS#8 in PEM. Null where the private half lies in a file of the operator's.
    private_key text,
    created_at timestamptz not null,
    -- Announced before it signs, so that every gateway knows it by then.
    signs_from timestamptz not null,
    -- From when on no token of it can be alive; null while it signs, and for good where
    -- tokens without an end were signed with it.
    retires_at timestamptz,
    -- The longest life that any of its tokens was given: what revocations must outlast.
    longest_lifetime_seconds bigint not null
);

-- Tokens of a subject (their `jti`) with an epoch below this one are refused.
create table revocations (
    subject uuid primary key,
    tenant_id uuid not null,
    epoch bigint not null,
    -- No refused token can be alive any more after this.
    expires_at timestamptz not null
);
create index revocations_expires_at on revocations (expires_at);

select rota_platform_table('signing_keys');
select rota_platform_table('revocations');

-- Private keys are for the service's own role alone.
do $$
begin
    execute format('revoke all on signing_keys from %I', 'rota_' || current_schema() || '_hot');
end $$;

-- Every replica listens: a revocation is told as a whole, in the order of commits.
create function rota_announce_revocation() returns trigger language plpgsql as $$
begin
    perform pg_notify(tg_table_schema || '_revoked',
        format('%s %s %s', new.subject, new.epoch, ceil(extract(epoch from new.expires_at))));
    return null;
end $$;

-- Of keys only that something changed: they are few, and read anew. However many rows a
-- transaction changes, it is said once.
create function rota_announce_keys() returns trigger language plpgsql as $$
begin
    perform pg_notify(tg_table_schema || '_keys', '');
    return null;
end $$;

create trigger announce after insert or update on revocations
    for each row execute function rota_announce_revocation();
create trigger announce after insert or update or delete on signing_keys
    for each row execute function rota_announce_keys();
