//! The whole URL map. A route stands in the group that says which token it needs; there is no
//! other way in.

use axum::{Router, extract::DefaultBodyLimit, middleware::from_fn_with_state};
use rota_types::Permission;
use tower_http::compression::CompressionLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    access::{Guard, Needs, guard},
    app::App,
    device::{
        authentication, deployments as device_deployments, downloads, inventory as device_inventory,
    },
    docs,
    edge::edge,
    fallback,
    management::{
        artifacts, deployments, device_deployments as outcomes, devices, groups, inventory,
        releases, tenants, uploads, users,
    },
};

type Routes = OpenApiRouter<App>;

/// No token.
fn open() -> Routes {
    Routes::default()
        .routes(routes!(authentication::authenticate))
        .routes(routes!(downloads::download))
        .routes(routes!(users::login))
}

/// A device's token.
fn device() -> Routes {
    Routes::default()
        .routes(routes!(device_deployments::next_by_query, device_deployments::next_v1))
        .routes(routes!(device_deployments::next_v2))
        .routes(routes!(device_deployments::control_map))
        .routes(routes!(device_deployments::report_status))
        .routes(routes!(device_deployments::store_log))
        .routes(routes!(device_inventory::replace, device_inventory::merge))
        .routes(routes!(device_inventory::replace_legacy, device_inventory::merge_legacy))
}

/// The token of a person who may look.
fn read() -> Routes {
    Routes::default()
        .routes(routes!(devices::list))
        .routes(routes!(devices::search))
        .routes(routes!(devices::count))
        .routes(routes!(devices::get))
        .routes(routes!(devices::status))
        .routes(routes!(devices::limit))
        .routes(routes!(inventory::list))
        .routes(routes!(inventory::get))
        .routes(routes!(inventory::search))
        .routes(routes!(inventory::filter_attributes))
        .routes(routes!(inventory::statistics))
        .routes(routes!(groups::list))
        .routes(routes!(groups::members))
        .routes(routes!(groups::of_device))
        .routes(routes!(artifacts::list))
        .routes(routes!(artifacts::list_v1))
        .routes(routes!(artifacts::list_all))
        .routes(routes!(artifacts::get))
        .routes(routes!(artifacts::link))
        .routes(routes!(artifacts::limit))
        .routes(routes!(releases::list))
        .routes(routes!(releases::list_v1))
        .routes(routes!(releases::list_all))
        .routes(routes!(releases::get))
        .routes(routes!(releases::tags))
        .routes(routes!(releases::types))
        .routes(routes!(deployments::list))
        .routes(routes!(deployments::list_v1))
        .routes(routes!(deployments::get))
        .routes(routes!(deployments::statistics))
        .routes(routes!(deployments::list_statistics))
        .routes(routes!(outcomes::list))
        .routes(routes!(outcomes::list_all))
        .routes(routes!(outcomes::ids))
        .routes(routes!(outcomes::log))
        .routes(routes!(outcomes::history))
        .routes(routes!(users::list))
        .routes(routes!(users::get))
        .routes(routes!(users::me, users::update_me))
        .routes(routes!(users::update_me_v2))
        .routes(routes!(users::logout))
        .routes(routes!(tenants::own))
}

/// The token of a person who may change things.
fn manage() -> Routes {
    Routes::default()
        .routes(routes!(devices::preauthorize))
        .routes(routes!(devices::decommission))
        .routes(routes!(devices::dismiss))
        .routes(routes!(devices::set_status))
        .routes(routes!(devices::revoke))
        .routes(routes!(inventory::clear))
        .routes(routes!(inventory::replace_tags, inventory::merge_tags))
        .routes(routes!(groups::dissolve))
        .routes(routes!(groups::add, groups::remove))
        .routes(routes!(groups::assign))
        .routes(routes!(groups::unassign))
        .routes(routes!(artifacts::describe, artifacts::delete))
        .routes(routes!(releases::delete))
        .routes(routes!(releases::set_notes))
        .routes(routes!(releases::set_tags))
        .routes(routes!(deployments::create))
        .routes(routes!(deployments::create_for_group))
        .routes(routes!(deployments::replace_control_map))
        .routes(routes!(deployments::abort))
        .routes(routes!(outcomes::abort))
        .routes(routes!(outcomes::hide_history))
        .routes(routes!(users::create))
        .routes(routes!(users::update, users::delete))
}

/// The same, for as long as it takes.
fn upload() -> Routes {
    Routes::default().routes(routes!(uploads::upload)).layer(DefaultBodyLimit::disable())
}

/// The map with its guards, and its description.
pub(crate) fn build(app: &App) -> (Router, OpenApi) {
    let deadline = Some(app.config.request_seconds);
    let person = |permission| Needs::Person(permission);
    let (router, mut description) = Routes::with_openapi(docs::description())
        .merge(guarded(app, open(), Needs::Nothing, deadline))
        .merge(guarded(app, device(), Needs::Device, deadline))
        .merge(guarded(app, compressed(read()), person(Permission::Read), deadline))
        .merge(guarded(app, compressed(manage()), person(Permission::Manage), deadline))
        .merge(guarded(app, upload(), person(Permission::Manage), None))
        .split_for_parts();
    docs::complete(&mut description);
    let router = router
        .merge(docs::router(&description))
        .fallback(fallback::not_found)
        .method_not_allowed_fallback(fallback::method_not_allowed)
        .layer(from_fn_with_state(app.clone(), edge))
        .with_state(app.clone());
    (router, description)
}

fn guarded(
    app: &App,
    mut routes: Routes,
    needs: Needs,
    deadline: Option<std::time::Duration>,
) -> Routes {
    docs::secure(routes.get_openapi_mut(), needs);
    routes.route_layer(from_fn_with_state(Guard { app: app.clone(), needs, deadline }, guard))
}

/// Lists can be long; what devices get is short, or compressed already.
fn compressed(routes: Routes) -> Routes {
    routes.route_layer(CompressionLayer::new().gzip(true))
}
