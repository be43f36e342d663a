-- An event says what changed and is small; what is large lies in the blob store or is asked
-- for. Brokers refuse what is much larger (nats-server by default 1 MiB), and would refuse it
-- again at every attempt.
alter table outbox add constraint outbox_data_small check (pg_column_size(data) <= 262144);
