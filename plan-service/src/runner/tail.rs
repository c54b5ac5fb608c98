//! The end of an output that may be endless.

use std::collections::VecDeque;

/// Keeps the last so many bytes, and counts all.
#[derive(Debug, Clone)]
pub struct TailBuffer {
    limit: usize,
    total: u64,
    kept: VecDeque<u8>,
}

impl TailBuffer {
    /// Keeps at most so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, total: 0, kept: VecDeque::new() }
    }

    /// Takes what comes next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total = self.total.saturating_add(bytes.len() as u64);
        let last = &bytes[bytes.len().saturating_sub(self.limit)..];
        let room = self.limit - last.len();
        let too_many = self.kept.len().saturating_sub(room);
        self.kept.drain(..too_many);
        self.kept.extend(last);
    }

    /// How many bytes there were in all.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// The last of them.
    pub fn tail(&self) -> Vec<u8> {
        self.kept.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_what_the_whole_ends_with_however_it_came() {
        let whole: Vec<u8> = (0..1_000_u32).flat_map(u32::to_le_bytes).collect();
        for limit in [0, 1, 7, 64, 3_999, 4_000, 4_001] {
            for piece in [1, 3, 64, 65, 5_000] {
                let mut buffer = TailBuffer::new(limit);
                for bytes in whole.chunks(piece) {
                    buffer.push(bytes);
                    buffer.push(b"");
                    assert!(buffer.tail().len() <= limit);
                }
                let expected = &whole[whole.len().saturating_sub(limit)..];
                assert_eq!(buffer.tail(), expected, "limit {limit}, pieces of {piece}");
                assert_eq!(buffer.total_bytes(), 4_000);
            }
        }
    }

    #[test]
    fn a_gibibyte_leaves_a_small_buffer() {
        let mut buffer = TailBuffer::new(64 * 1024);
        let piece = vec![b'x'; 64 * 1024];
        for _ in 0..16 * 1024 {
            buffer.push(&piece);
        }
        assert_eq!(buffer.total_bytes(), 1 << 30);
        assert_eq!(buffer.tail().len(), 64 * 1024);
        assert!(buffer.kept.capacity() <= 256 * 1024, "{}", buffer.kept.capacity());
    }
}
