//! The table of routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, on};

use super::bearer::Caller;
use super::characters::{self, Named};
use super::context::Context;
use super::{cors, observe, operations, session, upgrade};

/// The routes of one address.
#[derive(Clone)]
pub struct Routes(pub(super) Router);

/// Who reaches a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Players, on their address.
    Players,
    /// Operators, on their own address; on the players' if they have none.
    Operators,
    /// Both, on both addresses.
    All,
}

/// One method of one path, and what answers there.
pub struct Route {
    /// The method, such as `GET`.
    pub method: Method,
    /// The path, such as `/characters/{id}`.
    pub path: &'static str,
    /// Who reaches it.
    pub reach: Reach,
    answer: Answer,
}

/// Every route that is served. The routers are built from this list and nothing else.
pub static ROUTES: &[Route] = &[
    players(Method::POST, "/session/login", |method| on(method, session::login)),
    players(Method::POST, "/session/refresh", |method| on(method, session::refresh)),
    players(Method::POST, "/session/logout", |method| on(method, session::logout)),
    players(Method::GET, "/session", |method| on(method, session::show)),
    players(Method::POST, "/characters", |method| on(method, characters::create)),
    players(Method::GET, "/characters", |method| on(method, characters::list)),
    players(Method::GET, "/characters/{id}", |method| on(method, characters::show)),
    players(Method::DELETE, "/characters/{id}", |method| on(method, characters::delete)),
    players(Method::PATCH, "/characters/{id}/stats/hitpoints", |method| action("modify_hitpoints", method)),
    players(Method::PATCH, "/characters/{id}/currency/modify", |method| action("modify_currency", method)),
    players(Method::POST, "/characters/{id}/equipment/equip", |method| action("equip_item", method)),
    players(Method::POST, "/characters/{id}/equipment/unequip", |method| action("unequip_item", method)),
    players(Method::POST, "/characters/{id}/equipment/add", |method| action("add_item", method)),
    players(Method::POST, "/characters/{id}/equipment/remove", |method| action("remove_item", method)),
    players(Method::POST, "/characters/{id}/intents", |method| on(method, characters::intent)),
    players(Method::GET, "/catalogue", |method| on(method, operations::catalogue)),
    players(Method::GET, "/.well-known/jwks.json", |method| on(method, operations::keys)),
    players(Method::GET, "/socket", |method| on(method, upgrade::upgrade)),
    all(Method::GET, "/health/live", |method| on(method, operations::live)),
    all(Method::GET, "/health/ready", |method| on(method, operations::ready)),
    operators(Method::GET, "/metrics", |method| on(method, operations::metrics)),
];

type Answer = fn(MethodFilter) -> MethodRouter<Arc<Context>>;

const fn players(method: Method, path: &'static str, answer: Answer) -> Route {
    Route { method, path, reach: Reach::Players, answer }
}

const fn operators(method: Method, path: &'static str, answer: Answer) -> Route {
    Route { method, path, reach: Reach::Operators, answer }
}

const fn all(method: Method, path: &'static str, answer: Answer) -> Route {
    Route { method, path, reach: Reach::All, answer }
}

/// The routes for players. They include the metrics if operators have no address of their own.
pub fn for_players(context: &Arc<Context>) -> Routes {
    let operators_too = context.settings.admin_listen.is_none();
    routes(context, |reach| reach != Reach::Operators || operators_too)
}

/// The routes for operators, on their own address.
pub fn for_operators(context: &Arc<Context>) -> Routes {
    routes(context, |reach| reach != Reach::Players)
}

fn routes(context: &Arc<Context>, has: impl Fn(Reach) -> bool) -> Routes {
    let routes = ROUTES.iter().filter(|route| has(route.reach));
    let router = routes.fold(Router::new(), |router, route| {
        let method = MethodFilter::try_from(route.method.clone()).expect("a method that axum knows");
        router.route(route.path, (route.answer)(method))
    });
    finish(router, context)
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

/// The route for one kind of action.
fn action(kind: &'static str, method: MethodFilter) -> MethodRouter<Arc<Context>> {
    on(method, move |State(context): State<Arc<Context>>, caller: Caller, named: Named, request: Request| {
        characters::action(kind, context, caller, named, request)
    })
}
