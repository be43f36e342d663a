-- A suspension ends the tokens of the tenant's devices.

-- Devices' tokens carry it; those with a smaller one are refused. Grows with each suspension.
alter table tenants add column device_epoch bigint not null default 0;

-- Those that are suspended already: for good, as tokens of devices end elsewhere.
update tenants set device_epoch = 1 where suspended;
insert into revocations (subject, tenant_id, epoch, expires_at)
    select id, id, device_epoch, timestamptz '9999-01-01 00:00:00+00' from tenants
    where suspended;
