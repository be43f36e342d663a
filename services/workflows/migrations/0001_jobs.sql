-- One row a job: a workflow that an event began, and how far it has come.
create table workflows.jobs (
    tenant_id uuid not null,
    id uuid not null,
    workflow text not null,
    device_id uuid not null,
    -- The event's data: JSON, as text, because jsonb does not take every string that JSON has.
    input text not null,
    status text not null default 'pending' check (status in ('pending', 'done', 'failed')),
    -- Steps done so far.
    step smallint not null default 0,
    -- Of the present step: times it was begun, and times it failed by its own fault.
    attempts integer not null default 0,
    failures integer not null default 0,
    last_error text not null default '',
    -- Of a pending job: when it is to be taken up. While a runner holds it, that is when the
    -- runner is given up for dead.
    due_at timestamptz not null default now(),
    -- The runner's hold: who has lost it may not write any more.
    claim uuid,
    request_id text not null,
    traceparent text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
create index jobs_by_device on workflows.jobs (tenant_id, device_id, id);
create index jobs_by_status on workflows.jobs (tenant_id, status, id);
-- Runners look for work of all tenants, by these two.
create index jobs_due on workflows.jobs (due_at) where status = 'pending';
create index jobs_done on workflows.jobs (updated_at) where status = 'done';
select rota_tenant_table('jobs');
select rota_hot_table('jobs');
