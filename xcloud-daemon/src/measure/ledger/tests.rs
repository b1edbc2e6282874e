use proptest::{collection::vec, prelude::*};

use super::*;

fn agent(first_sequence: u64) -> Agent {
    let identity = Identity {
        version: String::new(),
        kernel_release: String::new(),
        hooks: Vec::new(),
        pods: Vec::new(),
        site: 0,
    };
    Agent::new("aws".into(), identity, [0; 16], first_sequence)
}

/// What happens to an agent between two batches.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// It sends a batch; so much was lost and is under way.
    Batch { observations: u64, lost: u64, pending: u64 },
    /// It sends the last batch again.
    Again,
    /// It gives up so many batches and opens a new stream.
    Jump { batches: u64, observations: u64 },
    /// It is killed; the next life may know what the kernel counted last.
    Killed { known: Option<u64> },
    /// Another aggregator takes so much before it comes back.
    Away { batches: u64, observations: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..100, 0u64..9, 0u64..9)
            .prop_map(|(observations, lost, pending)| Step::Batch { observations, lost, pending }),
        1 => Just(Step::Again),
        1 => (1u64..3, 0u64..50).prop_map(|(batches, observations)| Step::Jump { batches, observations }),
        1 => proptest::option::of(0u64..50).prop_map(|known| Step::Killed { known }),
        1 => (1u64..3, 0u64..50).prop_map(|(batches, observations)| Step::Away { batches, observations }),
    ]
}

/// The agent's side of the books.
#[derive(Default)]
struct Sender {
    boot: u8,
    sequence: u64,
    sent: u64,
    totals: Totals,
}

impl Sender {
    fn send(&mut self, agent: &mut Agent, observations: u64, lost: u64, pending: u64) {
        self.sequence += 1;
        self.totals.ring += lost;
        self.totals.slot += lost;
        self.totals.pending = pending;
        self.totals.emitted =
            self.sent + observations + self.totals.ring + self.totals.queue + pending;
        assert_eq!(agent.turn(self.sequence), Ok(Turn::Next));
        agent.check(self.sent, observations, &self.totals).expect("honest totals");
        agent.merged(self.sent, observations, &self.totals, 0);
        self.sent += observations;
    }

    fn restart(&mut self, agent: &mut Agent, known: Option<u64>) {
        let last = known.map(|more| Totals { emitted: self.totals.emitted + more, ..self.totals });
        let predecessor = last.map(|totals| ([self.boot; 16], totals));
        *self = Self { boot: self.boot + 1, ..Self::default() };
        agent.reopen([self.boot; 16], 1, predecessor).expect("a new life");
    }
}

proptest! {
    #[test]
    fn the_account_balances_whatever_happens(steps in vec(step(), 1..40)) {
        let (mut agent, mut sender) = (agent(1), Sender::default());
        let mut merged = 0;
        for step in steps {
            match step {
                Step::Batch { observations, lost, pending } => {
                    sender.send(&mut agent, observations, lost, pending);
                    merged += observations;
                }
                Step::Again => {
                    let last = sender.sequence;
                    prop_assert!(last == 0 || agent.turn(last) == Ok(Turn::Again));
                }
                Step::Jump { batches, observations } => {
                    sender.sequence += batches;
                    sender.totals.queue += observations;
                    agent.reopen([sender.boot; 16], sender.sequence + 1, None).expect("the same life");
                }
                Step::Killed { known } => sender.restart(&mut agent, known),
                Step::Away { batches, observations } => {
                    sender.sequence += batches;
                    sender.sent += observations;
                    agent.reopen([sender.boot; 16], sender.sequence + 1, None).expect("the same life");
                }
            }
            let account = agent.account();
            prop_assert!(account.balances(), "{:?} after {:?}", account, step);
            prop_assert_eq!(agent.fates.waiting, merged);
        }
    }

    #[test]
    fn claims_of_any_kind_never_unbalance(
        first in (0u64..4, 0u64..4, proptest::array::uniform9(0u64..9)), last in [any::<u64>(); 9],
    ) {
        let mut agent = agent(1);
        let (sent_before, observations, fields) = first;
        let totals = |fields: [u64; 9]| {
            let [opened, emitted, ring, slot, retransmit, queue, pending, unanswered, hidden] = fields;
            Totals { opened, emitted, ring, slot, retransmit, queue, pending, unanswered, hidden }
        };
        if agent.check(sent_before, observations, &totals(fields)).is_ok() {
            agent.merged(sent_before, observations, &totals(fields), 0);
        }
        prop_assert!(agent.account().balances());
        agent.reopen([1; 16], 1, Some(([0; 16], totals(last)))).expect("a new life");
        prop_assert!(agent.account().balances());
    }
}

/// What a kernel counted, and what its agent found torn or left out of that.
#[derive(Clone, Copy, Debug)]
struct Kernel {
    emitted: u64,
    collided: u64,
    torn: u64,
    hidden: u64,
}

impl Kernel {
    /// As the agent tells it while it lives, when everything drained has arrived.
    fn told(self) -> Totals {
        let emitted = self.emitted - self.torn - self.hidden;
        let slot = self.collided + self.torn;
        Totals { emitted, slot, hidden: self.hidden, ..Totals::default() }
    }

    /// As the next life reads it.
    fn left(self) -> Totals {
        Totals { emitted: self.emitted, slot: self.collided, ..Totals::default() }
    }
}

fn killed(told: Kernel, last: Kernel) -> Account {
    let mut agent = agent(1);
    let totals = told.told();
    agent.check(0, totals.emitted, &totals).expect("honest totals");
    agent.merged(0, totals.emitted, &totals, 0);
    agent.reopen([1; 16], 1, Some(([0; 16], last.left()))).expect("a new life");
    assert!(agent.account().balances(), "{:?}", agent.account());
    agent.account()
}

#[test]
fn what_was_hidden_or_torn_before_a_kill_counts_once() {
    let kernel = Kernel { emitted: 1_000_000, collided: 70, torn: 30, hidden: 600_000 };
    let account = killed(kernel, kernel);
    assert_eq!((account.emitted, account.agent), (1_000_070, 0));
    assert_eq!((account.hidden, account.slot), (600_000, 100));
    let last = Kernel { emitted: 1_000_500, collided: 75, ..kernel };
    let account = killed(kernel, last);
    assert_eq!(account.emitted, 1_000_575);
    // How much of the slots' loss was torn is not known, so what collided since counts among what died.
    assert_eq!((account.agent, account.slot), (505, 100));
}

proptest! {
    #[test]
    fn a_kill_makes_nothing_more_or_less_than_the_kernel_counted(
        fields in proptest::array::uniform4(0u64..1_000), since in proptest::array::uniform2(0u64..1_000),
    ) {
        let [delivered, collided, torn, hidden] = fields;
        let told = Kernel { emitted: delivered + torn + hidden, collided, torn, hidden };
        let last = Kernel {
            emitted: told.emitted + since[0], collided: told.collided + since[1], ..told
        };
        prop_assert_eq!(killed(told, last).emitted, last.emitted + last.collided);
    }
}

#[test]
fn final_totals_below_what_arrived_are_passed_over() {
    let (mut agent, mut sender) = (agent(1), Sender::default());
    sender.send(&mut agent, 50, 0, 7);
    let claim = Totals { emitted: 60, ring: 100, ..Totals::default() };
    agent.reopen([1; 16], 1, Some(([0; 16], claim))).expect("a new life");
    assert_eq!((agent.account().emitted, agent.account().agent), (57, 7));
}

#[test]
fn only_so_many_ended_lives_are_remembered() {
    let mut agent = agent(1);
    for boot in 1..=40 {
        agent.reopen([boot; 16], 1, None).expect("a new life");
    }
    assert_eq!(agent.ended.len(), ENDED_BOOTS);
    assert!(agent.reopen([39; 16], 1, None).is_err());
}
