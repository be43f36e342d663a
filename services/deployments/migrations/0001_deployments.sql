-- Artifacts and releases, deployments, and one row for each device of each deployment.

-- A tenant's space for Artifacts. The row is made with the first upload or limit.
create table deployments.storage (
    tenant_id uuid not null primary key,
    -- null: no limit.
    limit_bytes bigint check (limit_bytes > 0),
    used_bytes bigint not null default 0 check (used_bytes >= 0)
);
select rota_tenant_table('storage');

-- The Artifacts of one name. Who publishes or deletes one of them holds this row, so that two
-- uploads of one release see each other. Gone with the last Artifact.
create table deployments.releases (
    tenant_id uuid not null,
    name text collate "C" not null,
    notes text not null default '',
    tags text[] not null default '{}',
    artifacts_count integer not null,
    modified_at timestamptz not null,
    primary key (tenant_id, name)
);
select rota_tenant_table('releases');

-- Complete and verified Artifacts. The bytes lie in the blob store.
create table deployments.artifacts (
    tenant_id uuid not null,
    id uuid not null,
    name text collate "C" not null,
    description text not null,
    format_version integer not null,
    signed boolean not null,
    -- Not jsonb: these may hold whatever JSON may, and nothing looks into them here.
    provides json not null,
    depends json not null,
    device_types text[] not null,
    -- Payload types; the empty payload has none.
    update_types text[] not null,
    -- null: the Artifact does not say, which clears everything.
    clears_provides text[],
    updates json not null,
    size_bytes bigint not null check (size_bytes > 0),
    -- Where the bytes lie. Never used twice, so that what is left of one upload cannot harm
    -- another.
    blob_id uuid not null,
    modified_at timestamptz not null,
    -- Set when it is deleted: it is in no list any more, and a job removes its bytes. The row
    -- stays, for the records of devices that were given it.
    deleted_at timestamptz,
    primary key (tenant_id, id)
);
create index artifacts_by_name on deployments.artifacts (tenant_id, name) where deleted_at is null;
create unique index artifacts_by_blob on deployments.artifacts (tenant_id, blob_id);
select rota_tenant_table('artifacts');
select rota_hot_table('artifacts');

-- An upload under way: written before the first byte, kept fresh while bytes flow, removed
-- with the Artifact's birth or after the bytes.
create table deployments.uploads (
    tenant_id uuid not null,
    blob_id uuid not null,
    artifact_id uuid not null,
    fresh_at timestamptz not null,
    -- Given up: it cannot become an Artifact any more, and its bytes are being removed.
    dead boolean not null default false,
    primary key (tenant_id, blob_id)
);
create unique index uploads_one_for_artifact on deployments.uploads (tenant_id, artifact_id);
select rota_tenant_table('uploads');
select rota_hot_table('uploads');

create table deployments.deployments (
    tenant_id uuid not null,
    id uuid not null,
    name text not null,
    artifact_name text collate "C" not null,
    -- Over the request: a second active deployment that asks for the same is refused.
    checksum bytea not null,
    groups text[] not null,
    force_installation boolean not null,
    retries integer not null,
    created_at timestamptz not null,
    -- Devices whose rows are written; all of them once listed_at is set.
    device_count bigint not null,
    listed_at timestamptz,
    aborted_at timestamptz,
    finished_at timestamptz,
    -- Written when nothing can change any more: the release's Artifacts of then, and the number
    -- of devices for each status.
    final_artifacts uuid[],
    final_statistics jsonb,
    primary key (tenant_id, id)
);
create unique index deployments_same_request on deployments.deployments (tenant_id, checksum)
    where finished_at is null;
create index deployments_active on deployments.deployments (tenant_id, artifact_name)
    where finished_at is null;
create index deployments_by_artifact_name on deployments.deployments (tenant_id, artifact_name);
create index deployments_by_age on deployments.deployments (tenant_id, created_at, id);
select rota_tenant_table('deployments');
select rota_hot_table('deployments');

-- One device's place in one deployment.
create table deployments.device_deployments (
    tenant_id uuid not null,
    deployment_id uuid not null,
    device_id uuid not null,
    id uuid not null default gen_random_uuid(),
    -- The deployment's: a device takes its oldest deployment first.
    created_at timestamptz not null,
    status text collate "C" not null default 'pending',
    substate text not null default '',
    -- What the device said when it first asked in this attempt.
    request json,
    device_type text not null default '',
    -- The choice of this attempt.
    artifact_id uuid,
    -- How often it was handed out, and how much that was over all attempts.
    attempts integer not null default 0,
    handed_out_bytes bigint not null default 0,
    has_log boolean not null default false,
    -- Hidden from the device's history.
    hidden boolean not null default false,
    started_at timestamptz,
    finished_at timestamptz,
    primary key (tenant_id, deployment_id, device_id),
    foreign key (tenant_id, deployment_id) references deployments.deployments,
    constraint finished_with_status check ((finished_at is null) = (status in (
        'pending', 'downloading', 'installing', 'rebooting', 'pause_before_installing',
        'pause_before_rebooting', 'pause_before_committing'
    )))
);
-- The poll.
create index device_deployments_active on deployments.device_deployments
    (tenant_id, device_id, created_at, deployment_id) where finished_at is null;
-- Whether a deployment's last device has come to an end, and which have not.
create index device_deployments_open on deployments.device_deployments
    (tenant_id, deployment_id, device_id) where finished_at is null;
-- Statistics, and pages of one status.
create index device_deployments_by_status on deployments.device_deployments
    (tenant_id, deployment_id, status, device_id) include (handed_out_bytes);
-- Devices that were given something and have not reported yet: the few pending ones that
-- statistics must look at one by one.
create index device_deployments_silent on deployments.device_deployments
    (tenant_id, deployment_id) include (handed_out_bytes)
    where status = 'pending' and handed_out_bytes > 0;
-- A device's history.
create index device_deployments_by_device on deployments.device_deployments
    (tenant_id, device_id, created_at);
select rota_tenant_table('device_deployments');
select rota_hot_table('device_deployments');

-- Devices that were removed, so that a device list that is still being written does not bring
-- them back into deployments from before.
create table deployments.decommissioned_devices (
    tenant_id uuid not null,
    device_id uuid not null,
    decommissioned_at timestamptz not null,
    primary key (tenant_id, device_id)
);
select rota_tenant_table('decommissioned_devices');

-- Work that outlives a request: writing a long device list, taking a deployment back from many
-- devices, removing bytes. Whoever moves due_at holds the job until then.
create table deployments.jobs (
    tenant_id uuid not null,
    id uuid not null,
    kind text not null,
    -- The deployment or Artifact.
    subject_id uuid not null,
    -- The devices asked for, where they were named.
    devices uuid[],
    -- The last device that was written.
    after_device uuid,
    failures integer not null default 0,
    due_at timestamptz not null,
    created_at timestamptz not null,
    primary key (tenant_id, id)
);
select rota_tenant_table('jobs');
select rota_hot_table('jobs');
