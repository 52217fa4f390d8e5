//! Which path leads where.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, get, on, post};

use super::bearer::Caller;
use super::characters::{self, Named};
use super::context::Context;
use super::{cors, observe, operations, session, upgrade};

/// What answers on one address.
#[derive(Clone)]
pub struct Routes(pub(super) Router);

/// What players reach. Metrics are among it where operators have no address of their own.
pub fn for_players(context: &Arc<Context>) -> Routes {
    let mut router = Router::new()
        .route("/session/login", post(session::login))
        .route("/session/refresh", post(session::refresh))
        .route("/session/logout", post(session::logout))
        .route("/session", get(session::show))
        .route("/characters", post(characters::create).get(characters::list))
        .route("/characters/{id}", get(characters::show).delete(characters::delete))
        .route("/characters/{id}/stats/hitpoints", action("modify_hitpoints", MethodFilter::PATCH))
        .route("/characters/{id}/currency/modify", action("modify_currency", MethodFilter::PATCH))
        .route("/characters/{id}/equipment/equip", action("equip_item", MethodFilter::POST))
        .route("/characters/{id}/equipment/unequip", action("unequip_item", MethodFilter::POST))
        .route("/characters/{id}/equipment/add", action("add_item", MethodFilter::POST))
        .route("/characters/{id}/equipment/remove", action("remove_item", MethodFilter::POST))
        .route("/characters/{id}/intents", post(characters::intent))
        .route("/catalogue", get(operations::catalogue))
        .route("/.well-known/jwks.json", get(operations::keys))
        .route("/socket", get(upgrade::upgrade));
    if context.settings.admin_listen.is_none() {
        router = router.route("/metrics", get(operations::metrics));
    }
    finish(with_health(router), context)
}

/// What operators reach on their own address.
pub fn for_operators(context: &Arc<Context>) -> Routes {
    finish(with_health(Router::new().route("/metrics", get(operations::metrics))), context)
}

fn with_health(router: Router<Arc<Context>>) -> Router<Arc<Context>> {
    router.route("/health/live", get(operations::live)).route("/health/ready", get(operations::ready))
}

fn finish(router: Router<Arc<Context>>, context: &Arc<Context>) -> Routes {
    let router = router
        .method_not_allowed_fallback(characters::method_not_allowed)
        .fallback(characters::no_such_route)
        .layer(from_fn_with_state(Arc::clone(context), cors::allow_listed))
        .layer(from_fn(observe::observe))
        .with_state(Arc::clone(context));
    Routes(router)
}

/// The route of one kind of action.
fn action(kind: &'static str, method: MethodFilter) -> MethodRouter<Arc<Context>> {
    on(method, move |State(context): State<Arc<Context>>, caller: Caller, named: Named, request: Request| {
        characters::action(kind, context, caller, named, request)
    })
}
