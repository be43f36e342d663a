//! The wiring: services over their back-ends, calling each other within the process.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use rota_accounts::Accounts;
use rota_auth::LinkSigner;
use rota_deployments::Deployments;
use rota_deviceauth::DeviceAuth;
use rota_gateway::{Clients, Gateway};
use rota_inventory::Inventory;
use rota_runtime::{Env, Mesh, Service, listen::Listener, tls::Protocols};
use rota_workflows::Workflows;

use crate::{
    backends::{self, Databases, Events},
    certificate,
    data_dir::DataDir,
    first_person,
    settings::Settings,
};

/// Starts everything; returns when devices and people are served.
pub(crate) async fn start(settings: Settings, env: &Env) -> Result<()> {
    let data = DataDir::open(settings.data_dir.clone())?;
    let databases = Databases::start(settings.database_url.clone(), &data).await?;
    let events = Events::start(settings.nats_url.clone()).await?;
    let mesh = Mesh::default();
    services(&settings, env, &data, &databases, &events, &mesh).await?;

    let accounts = mesh.rpc(Accounts::NAME);
    let person = first_person::make(accounts, &settings.admin_email, env.clock.as_ref()).await?;

    let set = settings.https_cert.zip(settings.https_key);
    let tls = certificate::open(set, settings.gateway.public_url.as_ref(), &data)?;
    let certificate = tls.identity.cert.clone();
    let port = serve(settings.gateway, settings.https_listen, tls, env, &mesh).await?;
    events.open();
    databases.stop_last(env);
    first_person::announce(person.as_ref(), port, &certificate, data.path())
}

/// Makes every service and starts its tasks.
async fn services(
    settings: &Settings,
    env: &Env,
    data: &DataDir,
    databases: &Databases,
    events: &Events,
    mesh: &Mesh,
) -> Result<()> {
    let clock = || Arc::clone(&env.clock);

    let deps =
        rota_accounts::Deps { db: databases.schema(&rota_accounts::SCHEMA).await?, clock: clock() };
    let accounts = Accounts::new(settings.accounts.clone(), deps).await.context("accounts")?;
    run(&accounts, env, mesh);

    let deps = rota_deviceauth::Deps {
        db: databases.schema(&rota_deviceauth::SCHEMA).await?,
        publisher: events.publisher(),
        accounts: mesh.rpc(Accounts::NAME),
        clock: clock(),
    };
    let deviceauth =
        DeviceAuth::new(settings.deviceauth.clone(), deps).await.context("deviceauth")?;
    run(&deviceauth, env, mesh);

    let deps = rota_inventory::Deps {
        db: databases.schema(&rota_inventory::SCHEMA).await?,
        clock: clock(),
    };
    run(&Inventory::new(settings.inventory.clone(), deps), env, mesh);

    let link_keys: PathBuf = settings.link_keys.clone().unwrap_or_else(|| data.link_keys());
    let deps = rota_deployments::Deps {
        db: databases.schema(&rota_deployments::SCHEMA).await?,
        blobs: backends::blobs(&settings.blobs, data)?,
        publisher: events.publisher(),
        inventory: mesh.rpc(Inventory::NAME),
        links: LinkSigner::load_or_create(&link_keys).context("link keys")?,
        clock: clock(),
    };
    run(&Deployments::new(settings.deployments.clone(), deps), env, mesh);

    let deps = rota_workflows::Deps {
        db: databases.schema(&rota_workflows::SCHEMA).await?,
        bus: events.bus(),
        deviceauth: mesh.rpc(DeviceAuth::NAME),
        inventory: mesh.rpc(Inventory::NAME),
        deployments: mesh.rpc(Deployments::NAME),
    };
    let workflows = Workflows::new(settings.workflows.clone(), deps).await.context("workflows")?;
    run(&workflows, env, mesh);
    Ok(())
}

fn run<S: Service>(service: &S, env: &Env, mesh: &Mesh) {
    mesh.fill(S::NAME, service.routes());
    env.readiness.add(service.checks());
    service.tasks(&env.tasks);
}

/// Opens the door; gives the port.
async fn serve(
    config: rota_gateway::Config,
    address: std::net::SocketAddr,
    tls: rota_runtime::tls::ServerTls,
    env: &Env,
    mesh: &Mesh,
) -> Result<u16> {
    let clients = Clients {
        deviceauth: mesh.rpc(DeviceAuth::NAME),
        inventory: mesh.rpc(Inventory::NAME),
        deployments: mesh.rpc(Deployments::NAME),
        accounts: mesh.rpc(Accounts::NAME),
    };
    let limits = config.listener_limits();
    let gateway = Gateway::new(config, clients, Arc::clone(&env.clock));
    let listener =
        Listener::bind(Gateway::NAME, address, Some(tls), Protocols::Http, limits).await?;
    let port = listener.local_addr()?.port();
    env.readiness.add(gateway.checks());
    gateway.tasks(&env.tasks);
    listener.serve(gateway.router(), &env.tasks);
    Ok(port)
}
