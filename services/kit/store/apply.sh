#!/bin/sh
# Makes one service's schema afresh in the database at DATABASE_URL, for sqlx's checked
# macros and for a look with psql:
#   services/kit/store/apply.sh deployments services/deployments/migrations
# What is in the schema is lost.
set -eu
kit=$(dirname "$0")/sql
schema=$1 migrations=$2
set -- "$kit"/roles.sql "$kit"/kit/*.sql "$migrations"/*.sql
for file do
    shift
    set -- "$@" -f "$file"
done
PGOPTIONS='-c client_min_messages=warning' exec psql -Xq -v ON_ERROR_STOP=1 "$DATABASE_URL" \
    -c "drop schema if exists $schema cascade" -c "create schema $schema" \
    -c "set search_path = $schema" "$@" -o /dev/null
