//! Where values live: one arena, places reused as soon as the last reader is done.

use crate::ALIGN;

/// Hands out places in an arena over the steps of a program. Places are freed and taken in step order.
#[derive(Default)]
pub(super) struct Arena {
    /// Live places: start and length, by start.
    live: Vec<(usize, usize)>,
    /// Highest end ever.
    peak: usize,
    /// Bytes of the live places.
    in_use: usize,
    /// The most of them since the last mark.
    high: usize,
}

impl Arena {
    /// A place of `bytes` bytes: the smallest gap that holds it, or the end.
    pub fn take(&mut self, bytes: usize) -> usize {
        let bytes = bytes.next_multiple_of(ALIGN).max(ALIGN);
        let (mut at, mut best) = (0, None::<(usize, usize)>);
        for &(start, len) in &self.live {
            let gap = start - at;
            if gap >= bytes && best.is_none_or(|(g, _)| gap < g) {
                best = Some((gap, at));
            }
            at = start + len;
        }
        let start = best.map_or(at, |(_, s)| s);
        let i = self.live.partition_point(|&(s, _)| s < start);
        self.live.insert(i, (start, bytes));
        self.peak = self.peak.max(start + bytes);
        self.in_use += bytes;
        self.high = self.high.max(self.in_use);
        start
    }

    /// Gives a place back.
    pub fn free(&mut self, start: usize) {
        if let Ok(i) = self.live.binary_search_by_key(&start, |&(s, _)| s) {
            self.in_use -= self.live.remove(i).1;
        }
    }

    /// The most bytes that were live at once since the last call.
    pub fn mark(&mut self) -> usize {
        std::mem::replace(&mut self.high, self.in_use)
    }

    /// Bytes the arena needs.
    pub fn bytes(&self) -> usize {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_reused_and_never_overlap() {
        let mut a = Arena::default();
        let x = a.take(100);
        let y = a.take(64);
        assert_eq!((x, y), (0, 128));
        a.free(x);
        assert_eq!(a.take(64), 0);
        assert_eq!(a.take(64), 64);
        assert_eq!(a.take(1), 192);
        assert_eq!(a.bytes(), 256);
        assert_eq!(a.mark(), 256);
        a.free(y);
        assert_eq!((a.mark(), a.mark()), (256, 192));
    }
}
