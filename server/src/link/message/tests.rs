use super::*;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn all() -> Vec<Said<'static>> {
    let hello = Hello {
        session: SessionId::from_uuid(Uuid::from_u128(1)),
        user: UserId::from_uuid(Uuid::from_u128(2)),
        role: "player".to_owned(),
        expires_at_ms: 7,
        address: "2001:db8::1".parse().expect("an address"),
        client: Some(Uuid::from_u128(3)),
        is_json: true,
        wants_changes: false,
        is_new: true,
        watched: vec![(CharacterId::from_uuid(Uuid::from_u128(4)), UserId::from_uuid(Uuid::from_u128(5)))],
    };
    vec![
        Said::Beat,
        Said::Attach(9),
        Said::Marker,
        Said::Part,
        Said::Hello(Box::new(hello)),
        Said::Frame(b"frame"),
        Said::TracedFrame(TRACEPARENT, b"frame"),
        Said::Request(b"request"),
        Said::Gone,
        Said::Slow(true),
        Said::Slow(false),
        Said::Word(Word::Attached { epoch: 1 }),
        Said::Word(Word::NotMine),
        Said::Word(Word::Leaving),
        Said::Word(Word::Resume),
        Said::Word(Word::Parted),
        Said::Word(Word::Moved { to: Some(Uuid::from_u128(6)), epoch: 2 }),
        Said::Word(Word::Moved { to: None, epoch: 3 }),
        Said::Welcome(b""),
        Said::Answer(b"answer"),
        Said::Notice(b"notice"),
        Said::FrameBack(b"frame"),
        Said::RequestBack(b"request"),
        Said::Response(b"response"),
        Said::Close(4401, "gone"),
        Said::AskDatabase,
        Said::Copy(b"characters"),
        Said::Given(b"versions"),
        Said::CalledOff,
        Said::Database(true),
        Said::Database(false),
    ]
}

#[test]
fn every_message_is_read_as_it_was_written() {
    let address = Address { shard: ShardId::new(255), number: u64::MAX, socket: 1 << 40 };
    let mut bytes = Vec::new();
    for said in all() {
        Message::new(address, said).write(&mut bytes);
    }
    let mut rest = &bytes[..];
    for said in all() {
        for cut in 0..3 {
            assert_eq!(Message::read(&rest[..cut]), Ok(None));
        }
        let (message, length) = Message::read(rest).expect("a message").expect("all of it");
        assert_eq!(message, Message::new(address, said));
        assert_eq!(Message::read(&rest[..length - 1]), Ok(None), "a byte is missing");
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let message = |kind: u8, body: &[u8]| {
        let mut bytes = u32::try_from(HEAD_BYTES + body.len()).expect("short").to_le_bytes().to_vec();
        bytes.push(kind);
        bytes.extend_from_slice(&[0; HEAD_BYTES - 1]);
        bytes.extend_from_slice(body);
        bytes
    };
    let malformed = [
        vec![1, 0, 0, 0, 0],
        vec![255, 255, 255, 255, 0],
        message(99, b""),
        message(kind::MARKER, b"x"),
        message(kind::ATTACH, b"short"),
        message(kind::HELLO, b"{}"),
        message(kind::MOVED, &[0; 23]),
        message(kind::CLOSE, b"1"),
        message(kind::CLOSE, &[0, 0, 255]),
        message(kind::FRAME, &vec![0; CLIENT_FRAME_BYTES_MAX + 1]),
        message(kind::TRACED_FRAME, &vec![b'0'; TRACEPARENT_BYTES + CLIENT_FRAME_BYTES_MAX + 1]),
        message(kind::TRACED_FRAME, &[b'0'; TRACEPARENT_BYTES - 1]),
        message(kind::TRACED_FRAME, &[255; TRACEPARENT_BYTES]),
    ];
    for bytes in malformed {
        assert!(Message::read(&bytes).is_err(), "{bytes:?}");
    }
}
