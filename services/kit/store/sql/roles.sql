-- The two roles of a service, named after the schema that comes first in the search path.
-- Roles belong to the whole cluster, so that this runs at every start, not as a migration,
-- and another database's services may do the same at the same time.
do $$
declare
    service text := 'rota_' || current_schema();
    login text := current_user;
    wanted text;
    membership text;
begin
    -- Since Postgres 16 creating a role makes one its administrator but lets nobody use it.
    membership := case when current_setting('server_version_num')::int >= 160000
        then 'set' else 'member' end;
    foreach wanted in array array[service, service || '_hot'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
            exception when duplicate_object or unique_violation then
                null; -- Another database's service was quicker.
            end;
        end if;
        if exists (select from pg_roles where rolname = wanted
                   and (rolsuper or rolbypassrls or rolcanlogin)) then
            raise exception 'role % must have none of superuser, bypassrls and login', wanted;
        end if;
        if not pg_has_role(login, wanted, membership) then
            execute format('grant %I to %I', wanted, login);
        end if;
    end loop;
end $$;
