//! Private Postgres, NATS and S3 servers for rota-server, tests and benches.
