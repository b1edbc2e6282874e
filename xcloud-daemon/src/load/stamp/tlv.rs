//! What may follow a STAMP packet (RFC 8972): fields with a type and a length, which come back with flags.

/// Flags, type and length of a field.
pub const HEADER: usize = 4;
/// The field is not known to who answers.
const UNRECOGNIZED: u8 = 0x80;
/// The field's length cannot be right.
const MALFORMED: u8 = 0x40;
/// The field was not protected as it had to be.
const INTEGRITY: u8 = 0x20;
/// Extra padding, the one type that is known here: it comes back as it is.
const PADDING: u8 = 1;

/// Fills bytes with one field of padding; fewer bytes than its header takes stay zero.
pub fn pad(bytes: &mut [u8]) {
    let length = bytes.len().saturating_sub(HEADER);
    if let (Some(header), Ok(length)) = (bytes.first_chunk_mut::<HEADER>(), u16::try_from(length)) {
        let [high, low] = length.to_be_bytes();
        *header = [UNRECOGNIZED, PADDING, high, low];
    }
}

/// Sets the flags of an answer's fields. None but padding is known, and none is verified: where packets are signed the
/// others say so.
pub fn flag(mut fields: &mut [u8], authenticated: bool) {
    while let Some((header, rest)) = fields.split_first_chunk_mut::<HEADER>() {
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let unknown = header[1] != PADDING;
        header[0] = if unknown { UNRECOGNIZED } else { 0 };
        if unknown && authenticated {
            header[0] |= INTEGRITY;
        }
        if length > rest.len() {
            header[0] |= MALFORMED;
            return;
        }
        fields = &mut rest[length..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn only_flags_change(bytes in vec(any::<u8>(), 0..200), authenticated: bool) {
            let mut flagged = bytes.clone();
            flag(&mut flagged, authenticated);
            let mut at = 0;
            while at + HEADER <= bytes.len() {
                prop_assert_eq!(&flagged[at + 1..at + HEADER], &bytes[at + 1..at + HEADER]);
                flagged[at] = bytes[at];
                at += HEADER + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            }
            prop_assert_eq!(flagged, bytes);
        }
    }

    #[test]
    fn padding_is_known_other_fields_are_not() {
        let mut fields = vec![0; 12];
        pad(&mut fields);
        assert_eq!(fields[..4], [UNRECOGNIZED, PADDING, 0, 8]);
        fields.extend([0, 2, 0, 1, 99]);
        let mut signed = fields.clone();
        flag(&mut fields, false);
        assert_eq!((fields[0], fields[12]), (0, UNRECOGNIZED));
        flag(&mut signed, true);
        assert_eq!((signed[0], signed[12]), (0, UNRECOGNIZED | INTEGRITY));
    }

    #[test]
    fn a_length_beyond_the_end_is_malformed_and_the_last() {
        let mut fields = [0, PADDING, 0, 9, 0, 2, 0, 0];
        flag(&mut fields, false);
        assert_eq!(fields, [MALFORMED, PADDING, 0, 9, 0, 2, 0, 0]);
    }
}
