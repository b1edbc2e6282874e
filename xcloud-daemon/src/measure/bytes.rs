//! What is in memory takes: estimates from what containers have room for.

/// What the allocator needs beside each piece, with rounding.
pub const ALLOCATION: usize = 16;

/// Bytes of an entry of a hash table: after it has doubled, half of its places are empty.
#[must_use]
pub const fn entry<T>() -> usize {
    2 * (size_of::<T>() + 1)
}

/// Bytes of what a vector has room for.
#[must_use]
pub const fn vector<T>(vector: &Vec<T>) -> usize {
    if vector.capacity() == 0 { 0 } else { vector.capacity() * size_of::<T>() + ALLOCATION }
}

/// Bytes of texts.
pub fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    let texts = texts.into_iter().filter(|text| text.capacity() > 0);
    texts.map(|text| text.capacity() + ALLOCATION).sum()
}
