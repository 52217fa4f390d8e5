//! The table of routes.

use castellan_game::Game;
use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, get, on};

use super::bearer::Caller;
use super::characters::{self, Named};
use super::context::Context;
use super::linking::{self, Linking};
use super::{cors, exposure, forwarding, guard, guests, observe, operations, session, slowing, upgrade};
use crate::config::AdminListen;

/// The routes of one address.
#[derive(Clone)]
pub struct Routes(pub(super) Router);

/// The addresses that serve a route.
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
pub struct Route<G: Game> {
    /// The method, such as `GET`.
    pub method: Method,
    /// The path, such as `/characters/{id}`.
    pub path: Cow<'static, str>,
    /// Who reaches it.
    pub reach: Reach,
    answer: Answer<G>,
}

impl<G: Game> Route<G> {
    /// True if only the owner of a shard can answer.
    fn is_about_characters(&self) -> bool {
        self.path == "/characters" || self.path.starts_with("/characters/")
    }
}

/// What answers there.
type Answer<G> = Box<dyn Fn(MethodFilter) -> MethodRouter<Arc<Context<G>>>>;

/// Every route that is served. The routers are built from this list and nothing else.
pub fn all_routes<G: Game>() -> Vec<Route<G>> {
    let service = [
        players(Method::POST, "/session/login", |method| on(method, session::login)),
        players(Method::POST, "/session/exchange", |method| on(method, session::exchange)),
        players(Method::POST, "/session/refresh", |method| on(method, session::refresh)),
        players(Method::POST, "/session/logout", |method| on(method, session::logout)),
        players(Method::GET, "/session", |method| on(method, session::show)),
        players(Method::GET, "/session/list", |method| on(method, session::list)),
        players(Method::DELETE, "/session/{id}", |method| on(method, session::end)),
        players(Method::POST, "/account/password", |method| on(method, session::change_password)),
        players(Method::POST, "/account/claim", |method| on(method, guests::claim)),
        players(Method::POST, "/characters", |method| on(method, characters::create)),
        players(Method::GET, "/characters", |method| on(method, characters::list)),
        players(Method::GET, "/characters/{id}", |method| on(method, characters::show)),
        players(Method::DELETE, "/characters/{id}", |method| on(method, characters::delete)),
        players(Method::POST, "/characters/{id}/intents", |method| on(method, characters::intent)),
        players(Method::GET, "/catalogue", |method| on(method, operations::catalogue)),
        players(Method::GET, "/.well-known/jwks.json", |method| on(method, operations::keys)),
        players(Method::GET, "/socket", |method| on(method, upgrade::upgrade)),
        route(Reach::All, Method::GET, "/health/live", |method| on(method, operations::live)),
        route(Reach::All, Method::GET, "/health/ready", |method| on(method, operations::ready)),
        route(Reach::Operators, Method::GET, "/metrics", |method| on(method, operations::metrics)),
    ];
    let game = G::ROUTES.iter().map(|declared| {
        let method = Method::from_bytes(declared.method.as_bytes()).expect("a game's routes have methods of HTTP");
        let path = format!("/characters/{{id}}{}", declared.path);
        players(method, path, |method| action(declared.kind, method))
    });
    service.into_iter().chain(game).collect()
}

fn players<G: Game>(
    method: Method,
    path: impl Into<Cow<'static, str>>,
    answer: impl Fn(MethodFilter) -> MethodRouter<Arc<Context<G>>> + 'static,
) -> Route<G> {
    route(Reach::Players, method, path, answer)
}

fn route<G: Game>(
    reach: Reach,
    method: Method,
    path: impl Into<Cow<'static, str>>,
    answer: impl Fn(MethodFilter) -> MethodRouter<Arc<Context<G>>> + 'static,
) -> Route<G> {
    Route { method, path: path.into(), reach, answer: Box::new(answer) }
}

/// The routes for players. They include the metrics if operators have no address of their own.
pub fn for_players<G: Game>(context: &Arc<Context<G>>) -> Routes {
    let operators_too = context.settings.admin_address().is_none();
    let hides = context.settings.admin_listen == AdminListen::Auto;
    let router = router(
        |route| route.reach != Reach::Operators || operators_too,
        context.forward.is_some(),
        |reach, route| {
            let hides = hides && reach == Reach::Operators;
            if hides { route.layer(from_fn_with_state(Arc::clone(context), exposure::hide)) } else { route }
        },
    );
    finish(router.layer(from_fn_with_state(Arc::clone(context), exposure::notice)), context)
}

/// The routes for operators, on their own address.
pub fn for_operators<G: Game>(context: &Arc<Context<G>>) -> Routes {
    finish(for_operation(), context)
}

/// The routes of a node's internal address: those for operators, and the one that gateways open links on.
pub fn for_nodes<G: Game>(context: &Arc<Context<G>>, linking: Linking) -> Routes {
    let linking = Arc::new(linking);
    let link = get(move |request: Request| linking::upgrade(Arc::clone(&linking), request));
    finish(for_operation().route("/link", link), context)
}

/// The routes about characters, for requests that gateways forward to this process. Nothing is counted or marked here:
/// the gateway has done so.
pub fn for_gateways<G: Game>(context: &Arc<Context<G>>) -> Routes {
    let router = router(Route::is_about_characters, false, |_, route| route);
    let router = router.fallback(characters::no_such_route).layer(from_fn(observe::follow));
    Routes(router.with_state(Arc::clone(context)))
}

fn for_operation<G: Game>() -> Router<Arc<Context<G>>> {
    router(|route| route.reach != Reach::Players, false, |_, route| route)
}

/// The wanted routes, each `dressed` for its address. Those about characters may be answered by nodes.
fn router<G: Game>(
    wanted: impl Fn(&Route<G>) -> bool,
    at_nodes: bool,
    dressed: impl Fn(Reach, MethodRouter<Arc<Context<G>>>) -> MethodRouter<Arc<Context<G>>>,
) -> Router<Arc<Context<G>>> {
    all_routes().into_iter().filter(wanted).fold(Router::new(), |router, route| {
        let method = MethodFilter::try_from(route.method.clone()).expect("a method that axum knows");
        let answer = if at_nodes && route.is_about_characters() { pass_on(method) } else { (route.answer)(method) };
        router.route(&route.path, dressed(route.reach, answer))
    })
}

fn finish<G: Game>(router: Router<Arc<Context<G>>>, context: &Arc<Context<G>>) -> Routes {
    let router = router
        .method_not_allowed_fallback(characters::method_not_allowed)
        .fallback(characters::no_such_route)
        .layer(from_fn_with_state(Arc::clone(context), cors::allow_listed))
        .layer(from_fn(guard::guard))
        .layer(from_fn(observe::observe))
        .layer(from_fn(slowing::slow_down))
        .with_state(Arc::clone(context));
    Routes(router)
}

/// A route that a node answers.
fn pass_on<G: Game>(method: MethodFilter) -> MethodRouter<Arc<Context<G>>> {
    on(method, |State(context): State<Arc<Context<G>>>, caller: Caller, request: Request| {
        forwarding::pass_on(context, caller, request)
    })
}

/// The route for one kind of action.
fn action<G: Game>(kind: &'static str, method: MethodFilter) -> MethodRouter<Arc<Context<G>>> {
    on(method, move |State(context): State<Arc<Context<G>>>, caller: Caller, named: Named, request: Request| {
        characters::action(kind, context, caller, named, request)
    })
}
