//! Which node gets a request: the least loaded of those that are alive, in turns among equals.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tracing::{info, warn};

use crate::config;

/// The cluster's nodes, of which one at least is always in use.
#[derive(Debug)]
pub(super) struct Nodes {
    nodes: Vec<Arc<Node>>,
    turn: AtomicUsize,
    /// Which nodes are ejected, by number; under one lock, so that two cannot both be the last but one.
    ejected: Mutex<Vec<bool>>,
}

/// One node, with the requests that it has open.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: config::Node,
    number: usize,
    in_flight: AtomicUsize,
}

/// A request that a node has open, until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Node>);

// === impl Nodes ===

impl Nodes {
    pub(super) fn new(addresses: &[config::Node]) -> Self {
        let node =
            |(number, address): (usize, &config::Node)| Arc::new(Node { address: address.clone(), number, in_flight: AtomicUsize::new(0) });
        Self {
            nodes: addresses.iter().enumerate().map(node).collect(),
            turn: AtomicUsize::new(0),
            ejected: Mutex::new(vec![false; addresses.len()]),
        }
    }

    /// Returns the best node that is not among those tried. An ejected one is the last resort.
    pub(super) fn choose(&self, tried: &[usize]) -> Option<Arc<Node>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let ejected = self.ejected();
        let count = self.nodes.len();
        let candidates = self.nodes.iter().filter(|node| !tried.contains(&node.number));
        let waits = |node: &&Arc<Node>| {
            let turns_to_wait = (node.number + count - turn % count) % count;
            (ejected[node.number], node.in_flight.load(Ordering::Relaxed), turns_to_wait)
        };
        candidates.min_by_key(waits).cloned()
    }

    /// Takes a node out of use, unless it is the last one in use.
    pub(super) fn eject(&self, node: &Node, why: &'static str) {
        let mut ejected = self.ejected();
        let others_alive = ejected.iter().enumerate().any(|(number, out)| !out && number != node.number);
        if others_alive && !std::mem::replace(&mut ejected[node.number], true) {
            warn!(node = %node.name(), why, "node ejected");
        }
    }

    /// Takes a node back into use.
    pub(super) fn revive(&self, node: &Node) {
        if std::mem::replace(&mut self.ejected()[node.number], false) {
            info!(node = %node.name(), "node is back");
        }
    }

    /// Returns the nodes that are out of use.
    pub(super) fn all_ejected(&self) -> Vec<Arc<Node>> {
        let ejected = self.ejected();
        self.nodes.iter().filter(|node| ejected[node.number]).cloned().collect()
    }

    fn ejected(&self) -> std::sync::MutexGuard<'_, Vec<bool>> {
        self.ejected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Node ===

impl Node {
    /// Its place in the configuration.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Host and port for logs; user information, should the address hold any, stays out.
    pub(super) fn name(&self) -> String {
        let authority = &self.address.authority;
        authority.port().map_or_else(|| authority.host().to_owned(), |port| format!("{}:{port}", authority.host()))
    }

    /// Counts a request until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }
}

// === impl InFlight ===

impl InFlight {
    /// Whose request it is.
    pub(super) fn node(&self) -> &Arc<Node> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: usize) -> Nodes {
        let address = |port: usize| config::Node {
            tls: false,
            authority: format!("127.0.0.1:{}", 9200 + port).parse().unwrap(),
            prefix: String::new(),
        };
        Nodes::new(&(0..count).map(address).collect::<Vec<_>>())
    }

    #[test]
    fn equals_take_turns() {
        let nodes = nodes(3);
        let order: Vec<_> = (0..6).map(|_| nodes.choose(&[]).unwrap().number()).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_least_loaded_is_chosen_until_its_request_ends() {
        let nodes = nodes(2);
        let first = nodes.choose(&[]).unwrap();
        let open = first.begin();
        assert_ne!(nodes.choose(&[]).unwrap().number(), first.number());
        assert_ne!(nodes.choose(&[]).unwrap().number(), first.number());
        drop(open);
        let later: Vec<_> = (0..2).map(|_| nodes.choose(&[]).unwrap().number()).collect();
        assert!(later.contains(&first.number()));
    }

    #[test]
    fn an_ejected_node_is_the_last_resort_and_comes_back() {
        let nodes = nodes(2);
        let [first, second] = [nodes.nodes[0].clone(), nodes.nodes[1].clone()];
        nodes.eject(&first, "test");
        assert!((0..4).all(|_| nodes.choose(&[]).unwrap().number() == second.number()));
        assert_eq!(nodes.choose(&[second.number()]).unwrap().number(), first.number());
        assert!(nodes.choose(&[0, 1]).is_none());
        assert_eq!(nodes.all_ejected().len(), 1);
        nodes.revive(&first);
        assert!(nodes.all_ejected().is_empty());
    }

    #[test]
    fn the_last_one_in_use_stays() {
        let nodes = nodes(2);
        nodes.eject(&nodes.nodes[0].clone(), "test");
        nodes.eject(&nodes.nodes[1].clone(), "test");
        assert_eq!(nodes.all_ejected().len(), 1);
        nodes.eject(&nodes.nodes[0].clone(), "test");
        assert_eq!(nodes.choose(&[]).unwrap().number(), 1);
    }
}
