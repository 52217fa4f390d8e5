//! Frames have the bytes that serde makes from the same values, in both encodings.

use castellan_game::Game;
use castellan_protocol::{Applied, Character, Codec, Conflict, RequestId, ServerFrame, State, UserId, Version};
use proptest::prelude::*;
use uuid::Uuid;

use super::toy::{NewPurse, Sheet, Toy};
use crate::frame::{Packed, Whole, encode, encode_packed};
use crate::header::Header;

fn check(codec: Codec, written: &[u8], value: &ServerFrame<Character<Sheet>>) {
    let mut by_serde = Vec::new();
    codec.encode(value, &mut by_serde);
    assert_eq!(written, by_serde, "{codec:?} {value:?}");
}

proptest! {
    #[test]
    fn frames_are_written_as_serde_does(
        name in "[a-zß-ž山-岳🐉]{1,40}",
        gold in 0i64..1_000_000,
        ids in any::<[u128; 2]>(),
        times in prop::array::uniform2(0i64..5_000_000_000_000),
        numbers in prop::array::uniform3(prop_oneof![0u64..300, 0u64..70_000, any::<u64>()]),
        duplicate in any::<bool>(),
        asked in any::<bool>(),
    ) {
        let [version, last, durable] = numbers;
        let header = Header {
            id: castellan_protocol::CharacterId::from_uuid(Uuid::from_u128(ids[0])),
            user: UserId::from_uuid(Uuid::from_u128(ids[1])),
            version: Version::new(version),
            last: RequestId::new(last),
            created_at_ms: times[0],
            updated_at_ms: times[1],
        };
        let mut state = Toy::create(&(), &NewPurse { name: name.clone() }).expect("a purse");
        state.gold = gold;
        let mut kept = castellan_game::Kept::default();
        header.keep::<Toy>(&state, None, &(), &mut kept);
        let whole = || Whole::<Toy> { header: &header, state: &state, kept: &kept };
        let time = |ms| crate::timestamp::Timestamp(ms).text().as_str().to_owned();
        let shown = || Character {
            id: header.id,
            user_id: header.user,
            sheet: Sheet { name: name.clone(), gold },
            parcels: Vec::new(),
            offers: Vec::new(),
            waiting: Vec::new(),
            version: header.version,
            last: header.last,
            created_at: time(header.created_at_ms),
            updated_at: time(header.updated_at_ms),
        };
        let mut packed = Vec::new();
        whole().write(&mut packed);
        let packed = || Packed::Whole(&packed);
        let (id, durable) = (RequestId::new(last), Version::new(durable));
        let maybe = asked.then_some(id);
        for codec in [Codec::MessagePack, Codec::Json] {
            macro_rules! frames {
                ($character:expr) => {[
                    ServerFrame::Applied(Applied { id, character: $character, durable, duplicate }),
                    ServerFrame::Conflict(Conflict { id, character: $character, durable }),
                    ServerFrame::State(State { character: $character, durable, id: maybe }),
                ]};
            }
            let (mut scratch, mut out) = (b"old".to_vec(), Vec::new());
            let pairs = frames!(whole()).into_iter().zip(frames!(packed())).zip(frames!(shown()));
            for ((whole, packed), shown) in pairs {
                out.clear();
                encode(codec, &whole, &mut scratch, &mut out);
                check(codec, &out, &shown);
                out.clear();
                encode_packed(codec, &packed, &mut scratch, &mut out);
                check(codec, &out, &shown);
            }
        }
    }
}
