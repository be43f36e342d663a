-- A broker that loses its tail gives the tail's sequences to new events, so that a sequence
-- alone does not say what the broker has. An era is a stretch in which one relay saw it lose
-- nothing: within an era, what was lost are the events with the highest sequences.
alter table outbox add column era bigint not null default 0;
create index outbox_sequences on outbox (era, sequence) where sequence is not null;

create sequence outbox_eras;
do $$
begin
    execute format('grant usage on sequence outbox_eras to %I', 'rota_' || current_schema());
end $$;
