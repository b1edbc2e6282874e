//! What was sent and what came back, as a run takes it down.

/// A probe.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When it was due, since the start.
    pub intended_ns: u64,
    /// When it was sent.
    pub at_ns: u64,
    /// The system would not send it.
    pub failed: bool,
}

/// An answer. Times are since the start; the reflector's are by its own clock.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The source port it came back to.
    pub flow: u16,
    /// The probe's number in its flow.
    pub sequence: u32,
    /// The probe's time as it came back.
    pub probe_sent: u64,
    /// The reflector's number.
    pub reflector: u32,
    /// When the reflector got the probe.
    pub received_ns: i64,
    /// When it sent the answer.
    pub sent_ns: i64,
    /// When that came.
    pub arrived_ns: u64,
}

/// A probe with its first answer.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// When the probe was sent.
    pub at_ns: u64,
    /// Its answer.
    pub answer: Answer,
}

impl Exchange {
    /// Time between probe and answer at the reflector.
    #[must_use]
    pub const fn residence_ns(&self) -> i64 {
        self.answer.sent_ns.saturating_sub(self.answer.received_ns)
    }

    /// The time on the network, both ways.
    #[must_use]
    pub fn round_trip_ns(&self) -> u64 {
        let all = self.answer.arrived_ns.saturating_sub(self.at_ns);
        // A reflector whose clock was stepped backward or that lies may claim anything.
        let residence = u64::try_from(self.residence_ns()).unwrap_or(0);
        all.checked_sub(residence).unwrap_or(all)
    }
}

/// A run.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Source ports; probe `i` is number `i / flows` of flow `i % flows`.
    pub flows: u16,
    /// What takes longer is lost.
    pub timeout_ns: u64,
    /// When it began.
    pub started_unix_ns: i64,
    /// How long it took.
    pub duration_ns: u64,
    /// All probes.
    pub sent: Vec<Sent>,
    /// All answers as they came, duplicates and late ones among them.
    pub answers: Vec<Answer>,
    /// Packets that came and answer no probe of this run.
    pub foreign: u64,
    /// How often the host said that nothing listens there.
    pub refused: u64,
}

impl Measured {
    /// A run in which nothing has happened.
    #[must_use]
    pub const fn new(flows: u16, timeout_ns: u64, started_unix_ns: i64) -> Self {
        Self {
            flows,
            timeout_ns,
            started_unix_ns,
            duration_ns: 0,
            sent: Vec::new(),
            answers: Vec::new(),
            foreign: 0,
            refused: 0,
        }
    }

    /// Takes what came; no more than four answers for each of `count` probes, whatever is sent to us.
    pub fn take(&mut self, count: u32, answer: Option<Answer>) {
        let room = self.answers.len() < (count as usize).saturating_mul(4);
        match answer.filter(|_| room) {
            Some(answer) => self.answers.push(answer),
            None => self.foreign += 1,
        }
    }

    /// Counts answers to probes that were not sent so; `encoded` gives a sent time as it was in the packet.
    pub fn drop_foreign(&mut self, encoded: impl Fn(u64) -> u64) {
        let (sent, flows, all) = (&self.sent, self.flows, self.answers.len());
        self.answers.retain(|answer| {
            let probe = sent.get(index(flows, answer.flow, answer.sequence));
            probe.is_some_and(|probe| encoded(probe.at_ns) == answer.probe_sent)
        });
        self.foreign += (all - self.answers.len()) as u64;
    }

    /// The first answer to every probe in the order of sending; none if it did not come in time.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Option<Exchange>> {
        let mut exchanges = vec![None; self.sent.len()];
        for answer in &self.answers {
            let index = index(self.flows, answer.flow, answer.sequence);
            let (Some(place), Some(sent)) = (exchanges.get_mut(index), self.sent.get(index)) else {
                continue;
            };
            let in_time = answer.arrived_ns.saturating_sub(sent.at_ns) <= self.timeout_ns;
            if place.is_none() && in_time {
                *place = Some(Exchange { at_ns: sent.at_ns, answer: *answer });
            }
        }
        exchanges
    }
}

fn index(flows: u16, flow: u16, sequence: u32) -> usize {
    sequence as usize * usize::from(flows) + usize::from(flow)
}
