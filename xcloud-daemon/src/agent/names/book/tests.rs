use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

fn address(last: u32) -> Address {
    [0, 0, 0xffff, last]
}

/// A pod that surely ran at `ran_ns`.
fn pod(name: &str, created: i64, last: u32, ran_ns: u64) -> Pod {
    Pod {
        uid: format!("uid of {name}"),
        created,
        addresses: vec![address(last)],
        ending: false,
        ran_ns,
        workload: Arc::new(Workload { pod: name.into(), ..Workload::default() }),
    }
}

fn interface(index: u32) -> Event {
    Event::Interface(index, format!("veth{index}"))
}

/// A book with an interface 7 that came at 10 s, and pod `a` at address 1 that ran at 11 s and was told at 12 s.
fn book() -> Book {
    let mut book = Book::default();
    book.learn(10 * SECOND, interface(7));
    book.learn(12 * SECOND, Event::Pod(pod("a", 1, 1, 11 * SECOND)));
    book
}

fn named(book: &mut Book, index: u32, last: u32, first_ns: u64) -> Option<String> {
    book.owner(index, address(last), first_ns).map(|workload| workload.pod.clone())
}

#[test]
fn a_pod_is_named_from_when_its_address_was_told() {
    let mut book = book();
    assert_eq!(named(&mut book, 7, 1, 12 * SECOND - 1), None, "a packet from before");
    assert_eq!(named(&mut book, 7, 1, 12 * SECOND).as_deref(), Some("a"));
    assert_eq!(named(&mut book, 8, 1, 13 * SECOND), None, "an interface that is not known");
}

#[test]
fn a_pod_that_is_gone_names_nothing() {
    let mut book = book();
    assert!(named(&mut book, 7, 1, 13 * SECOND).is_some());
    book.learn(14 * SECOND, Event::Gone("uid of a".into()));
    assert_eq!(named(&mut book, 7, 1, 13 * SECOND), None);
    assert_eq!((book.pods(), book.addresses()), (0, vec![]));
}

#[test]
fn an_ended_pod_that_is_still_listed_names_nothing() {
    let mut book = book();
    book.learn(14 * SECOND, Event::Pod(Pod { addresses: vec![], ..pod("a", 1, 1, 0) }));
    assert_eq!(named(&mut book, 7, 1, 15 * SECOND), None);
}

#[test]
fn a_pod_none_of_whose_containers_ran_is_not_named() {
    let mut book = Book::default();
    book.learn(10 * SECOND, interface(7));
    book.learn(12 * SECOND, Event::Pod(pod("a", 1, 1, 0)));
    assert_eq!(named(&mut book, 7, 1, 13 * SECOND), None);
}

#[test]
fn a_pod_older_than_the_agent_is_named_once_its_end_would_have_been_told() {
    let mut book = Book::default();
    book.learn(10 * SECOND, interface(7));
    book.learn(12 * SECOND, Event::Pod(pod("a", 1, 1, SECOND)));
    book.learn(12 * SECOND + 1, interface(8));
    let known_ns = 12 * SECOND + TOLD_WITHIN_NS;
    assert_eq!(named(&mut book, 7, 1, known_ns - 1), None);
    assert_eq!(named(&mut book, 7, 1, known_ns).as_deref(), Some("a"));
    assert_eq!(named(&mut book, 8, 1, known_ns), None, "that came after a was told");
}

#[test]
fn an_address_goes_to_the_next_pod_and_does_not_come_back() {
    let mut book = book();
    book.learn(13 * SECOND, interface(8));
    assert_eq!(named(&mut book, 8, 1, 14 * SECOND), None, "b is not told yet");
    book.learn(15 * SECOND, Event::Pod(pod("b", 2, 1, 14 * SECOND)));
    // The old pod's last words.
    let last = Pod { ending: true, ..pod("a", 1, 1, 11 * SECOND) };
    book.learn(16 * SECOND, Event::Pod(last));
    assert_eq!(named(&mut book, 8, 1, 16 * SECOND).as_deref(), Some("b"));
    assert_eq!(named(&mut book, 8, 1, 14 * SECOND), None, "it may have been a's");
    book.learn(17 * SECOND, Event::Gone("uid of b".into()));
    book.learn(18 * SECOND, Event::Pod(pod("a", 1, 1, 11 * SECOND)));
    assert_eq!(named(&mut book, 8, 1, 19 * SECOND), None);
}

#[test]
fn a_pod_that_ends_takes_no_address_from_another() {
    let mut book = book();
    let old = Pod { ending: true, ..pod("old", 2, 1, 11 * SECOND) };
    book.learn(13 * SECOND, Event::Pod(old));
    assert_eq!(named(&mut book, 7, 1, 14 * SECOND).as_deref(), Some("a"));
}

#[test]
fn a_new_interface_of_the_same_pod_counts_once_its_containers_ran_again() {
    let mut book = book();
    book.learn(13 * SECOND, Event::InterfaceGone(7));
    book.learn(14 * SECOND, interface(9));
    assert_eq!(named(&mut book, 9, 1, 15 * SECOND), None);
    book.learn(16 * SECOND, Event::Pod(pod("a", 1, 1, 15 * SECOND)));
    assert_eq!(named(&mut book, 9, 1, 17 * SECOND).as_deref(), Some("a"));
}

#[test]
fn an_interface_that_was_down_is_the_same_but_one_of_another_name_is_not() {
    let mut book = book();
    book.learn(20 * SECOND, Event::InterfaceGone(7));
    book.learn(21 * SECOND, interface(7));
    assert_eq!(named(&mut book, 7, 1, 22 * SECOND).as_deref(), Some("a"));
    book.learn(23 * SECOND, Event::InterfaceGone(7));
    book.learn(24 * SECOND, Event::Interface(7, "veth-other".into()));
    assert_eq!(named(&mut book, 7, 1, 25 * SECOND), None);
}

#[test]
fn an_interface_names_its_pod_where_the_address_does_not() {
    let mut book = book();
    assert_eq!(named(&mut book, 7, 200, 13 * SECOND), None, "nothing came through it yet");
    assert!(named(&mut book, 7, 1, 13 * SECOND).is_some());
    assert_eq!(named(&mut book, 7, 200, 13 * SECOND).as_deref(), Some("a"));
    assert_eq!(named(&mut book, 7, 200, 11 * SECOND), None, "a packet from before");
    book.learn(14 * SECOND, Event::Pod(pod("b", 2, 2, 11 * SECOND)));
    assert_eq!(named(&mut book, 7, 2, 15 * SECOND).as_deref(), Some("b"));
    assert_eq!(named(&mut book, 7, 200, 15 * SECOND), None, "two pods share it");
}

#[test]
fn who_is_not_listed_any_more_is_gone() {
    let mut book = book();
    book.learn(13 * SECOND, Event::Pod(pod("b", 2, 2, 0)));
    book.learn(14 * SECOND, Event::Only(HashSet::from(["uid of b".into()])));
    assert_eq!(book.addresses(), [address(2)]);
}

#[test]
fn interfaces_that_are_gone_are_forgotten_in_the_end() {
    let mut book = Book::default();
    for index in 0..20_000 {
        book.learn(SECOND, interface(index));
        book.learn(SECOND, Event::InterfaceGone(index));
    }
    assert!(book.interfaces.len() <= MOST_INTERFACES);
}

/// What really happens on a node, and what of it is told when.
#[derive(Default)]
struct Node {
    book: Book,
    pods_begun: i64,
    running: Vec<Running>,
    /// When an address was last taken.
    taken: HashMap<u32, u64>,
    /// What will be told, by time.
    told: BTreeMap<(u64, u64), Event>,
    /// What was told.
    listed: BTreeMap<String, Pod>,
    serial: u64,
    named: u64,
    packets: u64,
}

#[derive(Clone, Copy)]
struct Running {
    last: u32,
    number: i64,
    interface: u32,
    ran_ns: u64,
}

impl Running {
    fn pod(&self) -> Pod {
        pod(&self.number.to_string(), self.number, self.last, self.ran_ns)
    }
}

impl Node {
    fn tell(&mut self, at_ns: u64, event: Event) {
        self.serial += 1;
        self.told.insert((at_ns, self.serial), event);
    }

    /// Everything that is told by `now_ns` gets into the book.
    fn listen(&mut self, now_ns: u64) {
        while let Some(entry) = self.told.first_entry() {
            if entry.key().0 > now_ns {
                return;
            }
            let ((at_ns, _), event) = entry.remove_entry();
            match &event {
                Event::Pod(pod) => drop(self.listed.insert(pod.uid.clone(), pod.clone())),
                Event::Gone(uid) => drop(self.listed.remove(uid)),
                _ => {}
            }
            self.book.learn(at_ns, event);
        }
    }

    /// The agent starts again: it sees the interfaces there are, and is told all that was told so far.
    fn restart(&mut self, now_ns: u64) {
        self.book = Book::default();
        for pod in &self.running {
            self.book.learn(now_ns, interface(pod.interface));
        }
        for pod in self.listed.values() {
            self.book.learn(now_ns, Event::Pod(pod.clone()));
        }
    }

    /// A pod begins on an address that is free and was not taken just now: a kubelet needs longer than that to tear a
    /// pod down whose containers ran, and to set another one up.
    fn begin(&mut self, now_ns: u64, last: u32, delay_ns: u64) -> bool {
        let taken = self.taken.get(&last).is_some_and(|at| now_ns < at + SLACK_NS + SECOND);
        if taken || self.running.iter().any(|pod| pod.last == last) {
            return false;
        }
        let number = self.pods_begun;
        self.pods_begun += 1;
        let interface_index = u32::try_from(number).expect("few") + 2;
        // Kubernetes tells whole seconds.
        let ran_ns = now_ns / SECOND * SECOND;
        let pod = Running { last, number, interface: interface_index, ran_ns };
        self.running.push(pod);
        self.taken.insert(last, now_ns);
        // Hooks are put on an interface when it is told, so no packet is seen on it before.
        self.book.learn(now_ns, interface(interface_index));
        self.tell(now_ns + delay_ns, Event::Pod(pod.pod()));
        true
    }

    fn end(&mut self, now_ns: u64, at: usize, delay_ns: u64) {
        if self.running.is_empty() {
            return;
        }
        let pod = self.running.remove(at % self.running.len());
        self.book.learn(now_ns, Event::InterfaceGone(pod.interface));
        let ending = Pod { ending: true, ..pod.pod() };
        self.tell(now_ns + delay_ns / 2, Event::Pod(ending));
        self.tell(now_ns + delay_ns, Event::Gone(format!("uid of {}", pod.number)));
    }

    /// Every running pod sends a packet, which is answered at once.
    fn send(&mut self, now_ns: u64) {
        for Running { last, number, interface, .. } in self.running.clone() {
            self.packets += 1;
            if let Some(name) = named(&mut self.book, interface, last, now_ns) {
                assert_eq!(name, number.to_string(), "address {last}, interface {interface}");
                self.named += 1;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Begin, end, start the agent again and send in any order, with few addresses, told as late as may be and in any
    /// order.
    #[test]
    fn no_pod_is_named_as_another(
        steps in prop::collection::vec((0u8..8, any::<usize>(), 0u32..4, 1u64..9_000), 1..200),
    ) {
        let mut node = Node::default();
        let mut now_ns = 10 * SECOND;
        for (what, at, last, delay_ms) in steps {
            now_ns += delay_ms * MS / 10;
            node.listen(now_ns);
            match what {
                0 | 1 => { node.begin(now_ns, last, delay_ms * MS); }
                2 | 3 => node.end(now_ns, at, delay_ms * MS),
                4 => node.restart(now_ns),
                _ => node.send(now_ns),
            }
        }
    }
}

#[test]
fn a_minute_of_a_hundred_pods_a_second_mislabels_nothing() {
    let mut node = Node::default();
    let mut random = 1u64;
    let mut next = |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut last = 0;
    for tick in 0..6_000u64 {
        let now_ns = 10 * SECOND + tick * 10 * MS;
        node.listen(now_ns);
        // 110 pods at a time, as many as a kubelet runs, so each lives for a second.
        if node.running.len() >= 110 {
            let at = usize::try_from(next(8)).expect("small");
            node.end(now_ns, at, next(2_000) * MS);
        }
        // Of the 254 addresses of a node's network the next one that is free, as the host-local plugin has it.
        while !node.begin(now_ns, last % 254, (50 + next(500)) * MS) {
            last += 1;
        }
        if tick % 10 == 0 {
            node.send(now_ns);
        }
    }
    assert_eq!(node.pods_begun, 6_000);
    // A pod lives for a second, and is told after a third of it.
    assert!(node.named * 2 > node.packets, "{} of {} were named", node.named, node.packets);
}
