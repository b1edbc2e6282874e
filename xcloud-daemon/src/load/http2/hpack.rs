//! Header compression (RFC 7541): all of it for reading, and for writing what needs no memory.

use std::collections::VecDeque;

use super::{Malformed, huffman, table};

/// Most bytes of a header list, counted as RFC 9113 does; the encoding may be much shorter.
const MOST_LIST: usize = 64 << 10;
/// What an entry costs beyond its bytes.
const OVERHEAD: usize = 32;

/// A name and a value that are remembered.
type Entry = (Box<[u8]>, Box<[u8]>);

/// Reads header blocks of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The newest first.
    entries: VecDeque<Entry>,
    /// Cost of all of them.
    size: usize,
    /// What they may cost, as the writer says,
    capacity: usize,
    /// and may say at most.
    limit: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// One that remembers fields of at most this cost. A writer that was not told yet may begin with more.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { capacity: limit, limit, ..Self::default() }
    }

    /// Forgets what it remembers.
    pub fn reset(&mut self) {
        self.entries.clear();
        self.size = 0;
        self.capacity = self.limit;
    }

    /// Tells each field of a block, name and value.
    ///
    /// # Errors
    /// It is not encoded as it should be, or is longer than allowed. What follows on the connection cannot be read.
    pub fn decode(
        &mut self,
        mut block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Malformed> {
        let mut listed = 0;
        while let Some(first) = block.first().copied() {
            if first & 0xe0 == 0x20 {
                let capacity = integer(&mut block, 5)?;
                if capacity > self.limit {
                    return Err(Malformed);
                }
                self.capacity = capacity;
                self.evict(0);
                continue;
            }
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                self.look_up(index, true)?;
            } else {
                let keeps = first & 0x40 != 0;
                let index = integer(&mut block, if keeps { 6 } else { 4 })?;
                if index == 0 {
                    string(&mut block, &mut self.name)?;
                } else {
                    self.look_up(index, false)?;
                }
                string(&mut block, &mut self.value)?;
                if keeps {
                    self.insert();
                }
            }
            listed += self.name.len() + self.value.len() + OVERHEAD;
            if listed > MOST_LIST {
                return Err(Malformed);
            }
            field(&self.name, &self.value);
        }
        Ok(())
    }

    /// Takes the name of an entry, and its value too.
    fn look_up(&mut self, index: usize, value_too: bool) -> Result<(), Malformed> {
        let place = index.checked_sub(1).ok_or(Malformed)?;
        let (name, value) = match table::FIELDS.get(place) {
            Some((name, value)) => (name.as_bytes(), value.as_bytes()),
            None => {
                let (name, value) =
                    self.entries.get(place - table::FIELDS.len()).ok_or(Malformed)?;
                (&name[..], &value[..])
            }
        };
        self.name.clear();
        self.name.extend_from_slice(name);
        if value_too {
            self.value.clear();
            self.value.extend_from_slice(value);
        }
        Ok(())
    }

    fn insert(&mut self) {
        let cost = self.name.len() + self.value.len() + OVERHEAD;
        self.evict(cost);
        // One that does not fit empties the table and is not kept.
        if cost <= self.capacity {
            self.size += cost;
            self.entries.push_front((self.name[..].into(), self.value[..].into()));
        }
    }

    /// Makes room for this cost.
    fn evict(&mut self, cost: usize) {
        while self.size + cost > self.capacity
            && let Some((name, value)) = self.entries.pop_back()
        {
            self.size -= name.len() + value.len() + OVERHEAD;
        }
    }
}

/// An integer with a prefix of so many bits; what follows is left.
fn integer(bytes: &mut &[u8], prefix: u32) -> Result<usize, Malformed> {
    let mut next = || {
        let (first, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        Ok::<_, Malformed>(usize::from(*first))
    };
    let most = (1 << prefix) - 1;
    let mut value = next()? & most;
    if value < most {
        return Ok(value);
    }
    for shift in [0, 7, 14] {
        let byte = next()?;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    // Beyond two million nothing is allowed.
    Err(Malformed)
}

fn string(bytes: &mut &[u8], to: &mut Vec<u8>) -> Result<(), Malformed> {
    let coded = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(bytes, 7)?;
    let (text, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
    *bytes = rest;
    to.clear();
    if coded {
        return huffman::decode(text, to);
    }
    to.extend_from_slice(text);
    Ok(())
}

/// Appends a field in a form that no reader has to remember.
pub fn encode(block: &mut Vec<u8>, name: &str, value: &[u8]) {
    let known = |(own, text): &(&str, &str)| *own == name && text.as_bytes() == value;
    if let Some(place) = table::FIELDS.iter().position(known) {
        return put(block, 0x80, 7, place + 1);
    }
    match table::FIELDS.iter().position(|(own, _)| *own == name) {
        Some(place) => put(block, 0, 4, place + 1),
        None => {
            put(block, 0, 4, 0);
            put(block, 0, 7, name.len());
            block.extend_from_slice(name.as_bytes());
        }
    }
    put(block, 0, 7, value.len());
    block.extend_from_slice(value);
}

/// Appends an integer with a prefix of so many bits.
#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are what is meant")]
fn put(block: &mut Vec<u8>, pattern: u8, prefix: u32, mut value: usize) {
    let most = (1 << prefix) - 1;
    if value < most {
        return block.push(pattern | value as u8);
    }
    block.push(pattern | most as u8);
    value -= most;
    while value >= 0x80 {
        block.push(value as u8 | 0x80);
        value >>= 7;
    }
    block.push(value as u8);
}

#[cfg(test)]
mod tests;
