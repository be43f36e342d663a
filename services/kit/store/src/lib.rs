//! Postgres: pools, roles, tenant transactions, migrations, outbox and inbox.
