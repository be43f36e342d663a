//! The description of the API, written from the code: `/api/docs`.

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    response::IntoResponse,
    routing::get,
};
use bytes::Bytes;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths,
        Ref, RefOr, ResponseBuilder, ServerBuilder,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use crate::{access::Needs, app::App};

const DEVICE_SCHEME: &str = "DeviceJWT";
const PERSON_SCHEME: &str = "ManagementJWT";

/// Everything but the routes.
pub(crate) fn description() -> OpenApi {
    let bearer = |description: &str| {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("JWT".to_owned());
        scheme.description = Some(description.to_owned());
        SecurityScheme::Http(scheme)
    };
    let mut components = Components::new();
    components.add_security_scheme(DEVICE_SCHEME, bearer("What a device gets for its key"));
    components.add_security_scheme(PERSON_SCHEME, bearer("What a person gets for signing in"));
    components.schemas.insert(rota_rest::Error::name().into_owned(), rota_rest::Error::schema());
    let info = InfoBuilder::new()
        .title("Rota")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Over-the-air updates for fleets of Linux devices."))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").build()))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url("/").build()]))
        .components(Some(components))
        .build()
}

/// Writes what a group needs into each of its operations, and the answers that every one of
/// them may give.
pub(crate) fn secure(description: &mut OpenApi, needs: Needs) {
    let scheme = match needs {
        Needs::Nothing => None,
        Needs::Device => Some(DEVICE_SCHEME),
        Needs::Person(_) => Some(PERSON_SCHEME),
    };
    for operation in operations(&mut description.paths) {
        let requirement = scheme.map(|scheme| SecurityRequirement::new(scheme, [""; 0]));
        operation.security = Some(requirement.into_iter().collect());
        let error = Ref::from_schema_name(rota_rest::Error::name());
        let error = ContentBuilder::new().schema(Some(error)).build();
        let answer =
            ResponseBuilder::new().description("Anything else").content("application/json", error);
        operation.responses.responses.insert("default".to_owned(), RefOr::T(answer.build()));
    }
}

/// Gives every operation a name of its own: the resource's and the handler's.
pub(crate) fn complete(description: &mut OpenApi) {
    for operation in operations(&mut description.paths) {
        let tag = operation.tags.iter().flatten().next().map_or("", String::as_str);
        let name = operation.operation_id.as_deref().unwrap_or_default();
        operation.operation_id = Some(format!("{}_{name}", tag.replace(' ', "_")));
    }
}

fn operations(paths: &mut Paths) -> impl Iterator<Item = &mut Operation> {
    paths.paths.values_mut().flat_map(|item| {
        [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete]
            .into_iter()
            .flatten()
    })
}

/// The description as a document, and a page that shows it.
pub(crate) fn router(description: &OpenApi) -> Router<App> {
    let document = description.to_json().unwrap_or_default();
    let document = file("application/json", Bytes::from(document));
    let page = |kind, text: &'static str| file(kind, Bytes::from_static(text.as_bytes()));
    let html = page("text/html; charset=utf-8", include_str!("docs/index.html"));
    let style = page("text/css; charset=utf-8", include_str!("docs/style.css"));
    let script = page("text/javascript; charset=utf-8", include_str!("docs/page.js"));
    Router::new()
        .route("/api/docs", get(async move || html))
        .route("/api/docs/openapi.json", get(async move || document))
        .route("/api/docs/style.css", get(async move || style))
        .route("/api/docs/page.js", get(async move || script))
}

/// A file of ours, which may use no one else's.
fn file(kind: &'static str, body: Bytes) -> impl IntoResponse + Clone {
    const HEADERS: [(HeaderName, &str); 2] = [
        (header::CONTENT_SECURITY_POLICY, "default-src 'self'; frame-ancestors 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let headers = HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value)));
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], headers, body)
}
