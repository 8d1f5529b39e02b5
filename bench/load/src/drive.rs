//! Many conversations at once, until the window is over.

use std::io;
use std::time::Duration;

use crate::options::Options;
use crate::poll::Poll;
use crate::stream::Stream;
use crate::window::{Report, Window};

/// One connection that asks, waits for the whole answer, checks it and asks again.
pub(crate) trait Conversation {
    fn stream(&self) -> &Stream;
    /// Goes on as far as the socket allows; answers with the time that the exchange took if it is finished.
    fn advance(&mut self) -> io::Result<Option<Duration>>;
}

/// Options: those of the window, and `--eager`: 1 for a client that polls and never sleeps.
pub(crate) fn drive<C: Conversation>(
    mut conversations: Vec<C>,
    options: &Options,
) -> io::Result<Report> {
    let mut window = Window::new(options)?;
    let eager = options.number_or("--eager", 0)? != 0;
    let mut poll = Poll::new()?;
    for (key, conversation) in conversations.iter().enumerate() {
        poll.add(conversation.stream().file(), key)?;
    }
    loop {
        let mut operations = 0;
        let ready: Vec<usize> = if eager {
            poll.poll_for_answers()?.collect()
        } else {
            poll.wait_for_answers()?.collect()
        };
        for key in ready {
            if let Some(time) = conversations[key].advance()? {
                window.took(time);
                operations += 1;
            }
        }
        if let Some(report) = window.count(operations)? {
            return Ok(report);
        }
    }
}

/// The count of a read or write, None if it would block, and an error if the peer has gone.
pub(crate) fn transferred(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(0) => Err(io::Error::other("the server closed the connection")),
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
