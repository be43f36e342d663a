-- What holds a deployment's updates on its devices; null where nothing does.
alter table deployments.deployments add column control_map json;
