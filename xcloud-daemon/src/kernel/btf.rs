//! Where fields of kernel structures lie, from the running kernel's type information (BTF). Rust kernel programs
//! have no relocations, so they get these offsets as constants at load time. The format is in the kernel's
//! `Documentation/bpf/btf.rst`.

use std::{fs, ops::Range};

use anyhow::{Context as _, Result, bail};

/// Where the kernel shows its types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const TYPE_BYTES: usize = 12;
const MEMBER_BYTES: usize = 12;
/// Anonymous structures inside `sk_buff` nest four deep; a cycle in a hostile file must end somewhere.
const MAX_DEPTH: u32 = 16;

/// Parsed type information.
#[derive(Debug)]
pub struct Btf {
    data: Vec<u8>,
    strings: Range<usize>,
    /// Position of each type's record, by type id; id 0 is `void`.
    types: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Composite,
    Alias,
    Other,
}

impl Btf {
    /// Reads the running kernel's.
    ///
    /// # Errors
    /// The kernel was built without `CONFIG_DEBUG_INFO_BTF`, or the file cannot be read or understood.
    pub fn running() -> Result<Self> {
        let data = fs::read(VMLINUX).with_context(|| {
            format!("reading {VMLINUX}: xcloud needs a kernel built with CONFIG_DEBUG_INFO_BTF=y")
        })?;
        Self::parse(data).with_context(|| format!("parsing {VMLINUX}"))
    }

    /// Understands a BTF file of this machine's byte order.
    ///
    /// # Errors
    /// The data is no BTF, is cut short or has a kind of type this parser does not know.
    pub fn parse(data: Vec<u8>) -> Result<Self> {
        let word = |at| u32_at(&data, at);
        if data.first_chunk().map(|magic| u16::from_ne_bytes(*magic)) != Some(MAGIC) {
            bail!("not BTF of this machine's byte order: the magic number is missing");
        }
        let body = word(4)?;
        let section = |offset: usize, length: usize| -> Result<Range<usize>> {
            let start = body.saturating_add(word(offset)?);
            let range = start..start.saturating_add(word(length)?);
            if range.end > data.len() {
                bail!("a section ends at byte {} of {}", range.end, data.len());
            }
            Ok(range)
        };
        let (records, strings) = (section(8, 12)?, section(16, 20)?);
        let types = index(&data, records)?;
        Ok(Self { data, strings, types })
    }

    /// Offset in bytes of a field, as in `offset("net", "ns.inum")`. Anonymous structures and unions are looked
    /// through.
    ///
    /// # Errors
    /// This kernel has no such structure or field, or the field is a bit field.
    pub fn offset(&self, structure: &str, path: &str) -> Result<u32> {
        let mut id = self
            .find(structure)
            .with_context(|| format!("this kernel has no struct {structure}"))?;
        let mut bits = 0;
        for field in path.split('.') {
            let (offset, kind) = self
                .member(id, field, 0)?
                .with_context(|| format!("this kernel's struct {structure} has no {path}"))?;
            bits += offset;
            id = self.resolve(kind)?;
        }
        if bits % 8 != 0 {
            bail!("{structure}.{path} is a bit field");
        }
        Ok(bits / 8)
    }

    /// Id of a typedef, which is how the kernel names the type of a tracepoint.
    #[must_use]
    pub fn typedef(&self, name: &str) -> Option<u32> {
        let id = (1..self.types.len()).find(|&id| {
            matches!(self.kind(id), Ok(Kind::Alias)) && self.name(id) == Some(name.as_bytes())
        })?;
        u32::try_from(id).ok()
    }

    fn find(&self, name: &str) -> Option<usize> {
        (1..self.types.len()).find(|&id| {
            matches!(self.kind(id), Ok(Kind::Composite)) && self.name(id) == Some(name.as_bytes())
        })
    }

    /// Bit offset and type of a member.
    fn member(&self, id: usize, name: &str, depth: u32) -> Result<Option<(u32, usize)>> {
        if depth == MAX_DEPTH || self.kind(id)? != Kind::Composite {
            return Ok(None);
        }
        let info = u32_at(&self.data, self.types[id] + 4)?;
        for member in 0..info & 0xffff {
            let at = self.types[id] + TYPE_BYTES + MEMBER_BYTES * member;
            let kind = u32_at(&self.data, at + 4)?;
            // With the kind flag set the upper 8 bits are the size of a bit field.
            let mask = if info >> 31 != 0 { 0x00ff_ffff } else { u32::MAX };
            let offset = u32::try_from(u32_at(&self.data, at + 8)?)? & mask;
            let label = self.string(u32_at(&self.data, at)?);
            if label == Some(name.as_bytes()) {
                return Ok(Some((offset, kind)));
            }
            if label.is_none_or(<[u8]>::is_empty)
                && let Some((inner, kind)) = self.member(self.resolve(kind)?, name, depth + 1)?
            {
                return Ok(Some((offset + inner, kind)));
            }
        }
        Ok(None)
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, mut id: usize) -> Result<usize> {
        for _ in 0..MAX_DEPTH {
            if id == 0 || self.kind(id)? != Kind::Alias {
                break;
            }
            id = u32_at(&self.data, self.types[id] + 8)?;
        }
        Ok(id)
    }

    fn kind(&self, id: usize) -> Result<Kind> {
        let Some(&at) = self.types.get(id) else { bail!("type {id} does not exist") };
        if id == 0 {
            return Ok(Kind::Other);
        }
        Ok(match u32_at(&self.data, at + 4)? >> 24 & 0x1f {
            4 | 5 => Kind::Composite,
            8..=11 | 18 => Kind::Alias,
            _ => Kind::Other,
        })
    }

    fn name(&self, id: usize) -> Option<&[u8]> {
        self.string(u32_at(&self.data, *self.types.get(id)?).ok()?)
    }

    fn string(&self, offset: usize) -> Option<&[u8]> {
        self.data[self.strings.clone()].get(offset..)?.split(|byte| *byte == 0).next()
    }
}

fn index(data: &[u8], records: Range<usize>) -> Result<Vec<usize>> {
    let mut types = vec![0];
    let mut at = records.start;
    while at < records.end {
        types.push(at);
        let info = u32_at(data, at + 4)?;
        let count = info & 0xffff;
        at += TYPE_BYTES
            + match info >> 24 & 0x1f {
                2 | 7..=12 | 16 | 18 => 0,
                1 | 14 | 17 => 4,
                3 => 12,
                6 | 13 => count * 8,
                4 | 5 | 15 | 19 => count * 12,
                kind => bail!("type {} has the unknown kind {kind}", types.len() - 1),
            };
    }
    Ok(types)
}

fn u32_at(data: &[u8], at: usize) -> Result<usize> {
    data.get(at..)
        .and_then(<[u8]>::first_chunk)
        .map(|bytes| u32::from_ne_bytes(*bytes) as usize)
        .with_context(|| format!("cut short at byte {at}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_running_kernel_has_every_field_the_programs_use() {
        if !std::path::Path::new(VMLINUX).exists() {
            eprintln!("skipped: this kernel shows no BTF");
            return;
        }
        let btf = Btf::running().unwrap();
        assert_eq!(btf.offset("net_device", "nd_net.net").unwrap() % 8, 0);
        assert!(btf.offset("net", "ns.inum").unwrap() > 0);
        assert!(btf.typedef("btf_trace_net_dev_start_xmit") > btf.typedef("no_such_type"));
        assert!(btf.offset("sk_buff", "head").unwrap() > btf.offset("sk_buff", "len").unwrap());
        let error = btf.offset("sk_buff", "no_such_field").unwrap_err();
        assert_eq!(error.to_string(), "this kernel's struct sk_buff has no no_such_field");
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_refused_or_answered_but_never_fatal(mut data: Vec<u8>, valid: bool) {
            if valid && data.len() >= 24 {
                data[..8].copy_from_slice(&[0x9f, 0xeb, 1, 0, 24, 0, 0, 0]);
            }
            if let Ok(btf) = Btf::parse(data) {
                let _ = btf.offset("a", "b.c");
            }
        }
    }
}
