//! The only source of randomness. Everything that draws takes an [`Rng`] with a seed, so that a run can be repeated.

/// A seeded generator (wyrand, through `fastrand`). Not for secrets.
#[derive(Clone, Debug)]
pub struct Rng(fastrand::Rng);

impl Rng {
    /// A generator whose whole sequence follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// A generator seeded by the operating system, for production code that was given no seed.
    #[allow(clippy::disallowed_methods)]
    pub fn from_entropy() -> Self {
        Self(fastrand::Rng::new())
    }

    /// An independent generator for one purpose: draws for one purpose never shift those for another.
    pub fn fork(seed: u64, purpose: &str) -> Self {
        Self::new(hash(seed, purpose.as_bytes()))
    }

    /// A number drawn evenly from all 64-bit integers.
    pub fn u64(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A share drawn evenly from 0 (inclusive) to 1 (exclusive).
    pub fn share(&mut self) -> f64 {
        self.0.f64()
    }

    /// An index drawn evenly from `0..len`; `len` must not be 0.
    pub fn index(&mut self, len: usize) -> usize {
        self.0.usize(..len)
    }
}

/// A well-mixed hash of `bytes` under `seed`, stable across versions and machines: FNV-1a, finished by
/// SplitMix64's mixer. Decisions that must not depend on concurrency are hashes, not draws.
pub fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325 ^ seed;
    for byte in bytes {
        h = (h ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(h.wrapping_add(seed))
}

/// A share in 0..1 from a hash.
pub fn hash_share(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_and_purposes_are_independent() {
        let draws = |mut rng: Rng| (0..4).map(|_| rng.u64()).collect::<Vec<_>>();
        assert_eq!(draws(Rng::new(7)), draws(Rng::new(7)));
        assert_ne!(draws(Rng::fork(7, "targets")), draws(Rng::fork(7, "poison")));
    }

    #[test]
    fn hashed_shares_are_even() {
        let n = 10_000;
        let low = (0..n).filter(|i: &u32| hash_share(hash(3, &i.to_le_bytes())) < 0.3).count();
        assert!((2_800..3_200).contains(&low), "{low} of {n} below 0.3");
    }
}
