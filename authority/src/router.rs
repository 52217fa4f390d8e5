//! Maps a user to the shard of all of the user's characters.

use castellan_protocol::UserId;

use crate::row::ShardId;

/// FNV-1a's parameters for 64 bits, RFC 9923 section 5.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The shard of a user: a stable hash that stored data depends on. Never change it.
pub fn shard_of(user: UserId) -> ShardId {
    let hash =
        user.uuid().as_bytes().iter().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME));
    let folded = hash ^ (hash >> 32);
    ShardId::new((folded ^ (folded >> 16)) as u16)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::row::SHARDS;

    #[test]
    fn the_shard_of_a_user_never_changes() {
        for (user, shard) in [(0_u128, 3), (1, 212), (u128::MAX, 156)] {
            assert_eq!(shard_of(UserId::from_uuid(Uuid::from_u128(user))).number(), shard, "{user}");
        }
    }

    #[test]
    fn spreads_users_evenly() {
        let mut users = [0_u32; SHARDS as usize];
        for number in 0..100_000_u128 {
            users[usize::from(shard_of(UserId::from_uuid(Uuid::from_u128(number))).number())] += 1;
        }
        let (least, most) = (users.iter().min().expect("256 shards"), users.iter().max().expect("256 shards"));
        assert!(*least > 250 && *most < 550, "between {least} and {most} of 100,000 users on one of 256 shards");
    }
}
