use super::*;

const ROOM: Room = Room {
    events: 2,
    bytes: 100,
};

const MOST: u32 = 3;

fn delivery(seq: u64, dialog: Option<&str>) -> Delivery {
    Delivery {
        seq,
        dialog: dialog.map(ToOwned::to_owned),
        handouts: 1,
        attempts: 0,
        redriven: false,
    }
}

/// Hands out an event the way a hub does.
fn hand_out(board: &mut Board, delivery: Delivery, bytes: usize) -> StreamId {
    let stream = board.outlet_for(bytes).expect("a stream has room");
    board.reserve(stream, bytes);
    let until = Instant::now() + Duration::from_secs(600);
    let portal = PortalId::default_portal();
    let (seq, attempt) = (delivery.seq, delivery.handouts);
    board.handed_out(delivery, portal, (stream, bytes));
    board.sent(seq, attempt, until);
    stream
}

/// What is to be handed out now.
fn ready(board: &mut Board) -> Vec<u64> {
    board.wake(Instant::now());
    board.ready()
}

fn with_streams(count: u64) -> Board {
    let mut board = Board::default();
    for stream in 0..count {
        board.open(StreamId(stream), ROOM);
    }
    board
}

#[tokio::test(start_paused = true)]
async fn streams_get_no_more_than_they_have_room_for_and_a_large_event_comes_alone() {
    let mut board = with_streams(1);
    assert!(board.outlet_for(1000).is_some(), "nothing else is there");
    hand_out(&mut board, delivery(1, None), 60);
    assert!(board.outlet_for(41).is_none());
    hand_out(&mut board, delivery(2, None), 40);
    assert!(board.outlet_for(0).is_none(), "two are what it takes");
    board.over(1);
    assert!(board.outlet_for(60).is_some());
    assert!(board.outlet_for(61).is_none());
}

#[tokio::test(start_paused = true)]
async fn events_go_to_the_stream_that_has_least_to_do() {
    let mut board = with_streams(2);
    let first = hand_out(&mut board, delivery(1, None), 1);
    let second = hand_out(&mut board, delivery(2, None), 1);
    assert_ne!(first, second);
    board.over(1);
    assert_eq!(hand_out(&mut board, delivery(3, None), 1), first);
}

#[tokio::test(start_paused = true)]
async fn what_follows_in_a_dialog_is_named_when_the_first_is_over() {
    let mut board = with_streams(1);
    hand_out(&mut board, delivery(1, Some("d")), 1);
    assert!(board.is_busy("d"));
    board.queue("d");
    assert_eq!(board.over(1).as_deref(), Some("d"));
    assert!(board.is_busy("d"), "until the next one was looked up");
    board.go_on("d", Some(delivery(2, Some("d"))));
    assert_eq!(ready(&mut board), [2]);
    assert_eq!(board.over(2), None);
    assert!(!board.is_busy("d"));
    assert_eq!(board.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_closed_stream_gives_back_all_but_what_is_being_answered() {
    let mut board = with_streams(2);
    let stream = hand_out(&mut board, delivery(1, None), 1);
    hand_out(&mut board, delivery(2, None), 1);
    hand_out(&mut board, delivery(3, None), 1);
    board.hold(1, HoldId(7));
    let back = board.close(stream);
    assert_eq!(back, [(3, true)]);
    assert!(!board.is_out(1, 1), "this handing-out is over");
    assert!(
        board.let_go(1, HoldId(7)),
        "and comes back when its answer has ended"
    );
    board.give_back(1, true, Instant::now());
    assert_eq!(ready(&mut board), [1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_being_answered_is_not_handed_out_again() {
    let mut board = with_streams(1);
    let stream = hand_out(&mut board, delivery(1, None), 1);
    assert_eq!(board.close(stream), [(1, true)]);
    board.give_back(1, true, Instant::now());
    board.hold(1, HoldId(7));
    assert_eq!(ready(&mut board), Vec::<u64>::new());
    assert!(!board.let_go(1, HoldId(8)));
    assert_eq!(ready(&mut board), Vec::<u64>::new());
    assert!(!board.let_go(1, HoldId(7)), "it waits already");
    assert_eq!(ready(&mut board), [1]);
}

#[tokio::test(start_paused = true)]
async fn attempts_end_and_pauses_between_them_grow() {
    let mut board = with_streams(1);
    let mut pauses = Vec::new();
    let mut next = delivery(1, None);
    for _ in 0..MOST {
        hand_out(&mut board, next, 1);
        if board.would_return(1, true, MOST) == Some(Returned::Exhausted) {
            break;
        }
        let now = Instant::now();
        board.give_back(1, true, now);
        let due = board.next_due().unwrap_or(now);
        pauses.push((due - now).as_secs());
        tokio::time::advance(due - now).await;
        assert_eq!(ready(&mut board), [1]);
        next = board.next_handout(1).unwrap();
    }
    assert_eq!(pauses, [0, 1]);
    assert_eq!(board.would_return(1, true, MOST), Some(Returned::Exhausted));
    assert_eq!(
        board.would_return(1, false, MOST),
        Some(Returned::Waits),
        "what does not count ends nothing"
    );
    assert_eq!(pause(100), LONGEST_PAUSE);
}

#[tokio::test(start_paused = true)]
async fn late_ones_come_back_and_extended_ones_do_not() {
    let mut board = with_streams(1);
    hand_out(&mut board, delivery(1, None), 1);
    hand_out(&mut board, delivery(2, None), 1);
    let later = Instant::now() + Duration::from_secs(700);
    board.extend(2, later);
    tokio::time::advance(Duration::from_secs(601)).await;
    assert_eq!(board.late(Instant::now()), [1]);
    assert!(!board.is_out(1, 1));
    assert!(board.is_out(2, 1));
    assert_eq!(board.next_due(), Some(later));
}

#[tokio::test(start_paused = true)]
async fn what_the_store_knows_is_taken_in_once() {
    let mut board = with_streams(1);
    let heads = || {
        vec![
            Head {
                first: delivery(1, Some("d")),
                waiting: 3,
            },
            Head {
                first: delivery(5, None),
                waiting: 1,
            },
        ]
    };
    board.take_in(heads());
    assert_eq!(ready(&mut board), [1, 5]);
    assert_eq!(board.waiting(), 4);
    let handed = board.next_handout(1).unwrap();
    assert_eq!(handed.handouts, 2);
    hand_out(&mut board, handed, 1);
    board.take_in(heads());
    assert_eq!(ready(&mut board), [5]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_never_late_and_is_told_apart_when_its_stream_ends() {
    let mut board = with_streams(1);
    let stream = board.outlet_for(1).unwrap();
    board.reserve(stream, 1);
    let portal = PortalId::default_portal();
    board.handed_out(delivery(1, None), portal, (stream, 1));
    hand_out(&mut board, delivery(2, None), 1);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(board.late(Instant::now()), [2]);
    assert_eq!(board.close(stream), [(1, false), (2, true)]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_over_is_due_no_more_whether_or_not_a_stream_has_room() {
    let mut board = with_streams(1);
    let mut second = delivery(1, None);
    second.handouts = 2;
    hand_out(&mut board, second, 1);
    board.give_back(1, true, Instant::now());
    hand_out(&mut board, delivery(2, None), 1);
    hand_out(&mut board, delivery(3, None), 1);
    assert!(board.outlet_for(0).is_none());
    tokio::time::advance(Duration::from_secs(5)).await;
    board.wake(Instant::now());
    assert!(board.next_due().is_none_or(|due| due > Instant::now()));
    assert_eq!(board.ready(), [1]);
}
