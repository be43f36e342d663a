-- Sign-ins take over the rows of those that are over, so that what a person has to have revoked
-- is bounded by the sign-ins that they may have at a time, however often they sign in.

alter table sessions
    -- The row's present token carries it; a sign-in that takes the row over raises it, so that
    -- the one revocation of the row refuses all tokens before.
    add column epoch bigint not null default 0,
    -- The token was revoked.
    add column ended boolean not null default false,
    -- Null: of a person who was removed, and anybody's in the tenant.
    alter column user_id drop not null;
