//! Many conversations at once, turn by turn.

use std::io;
use std::time::Duration;

use crate::options::Options;
use crate::poll::Poll;
use crate::stream::Stream;
use crate::turns::Turns;

/// One connection that asks, waits for the whole answer and checks it.
pub(crate) trait Conversation {
    fn stream(&self) -> &Stream;
    fn ask(&mut self) -> io::Result<()>;
    /// Goes on as far as the socket allows; answers with the time that the exchange took if it is
    /// finished.
    fn advance(&mut self) -> io::Result<Option<Duration>>;
}

/// Options: those of turns, and `--eager`: 1 for a client that polls and never sleeps.
pub(crate) fn drive<C: Conversation>(
    mut conversations: Vec<C>,
    options: &Options,
) -> io::Result<()> {
    let mut turns = Turns::new(options)?;
    let eager = options.number_or("--eager", 0)? != 0;
    let mut poll = Poll::new()?;
    for (key, conversation) in conversations.iter().enumerate() {
        poll.add(conversation.stream().file(), key)?;
    }
    while let Some(mut window) = turns.next()? {
        conversations.iter_mut().try_for_each(Conversation::ask)?;
        let mut asking = conversations.len();
        while asking > 0 {
            let mut operations = 0;
            let ready: Vec<usize> = if eager {
                poll.poll_for_answers()?.collect()
            } else {
                poll.wait_for_answers()?.collect()
            };
            for key in ready {
                let conversation = &mut conversations[key];
                let Some(time) = conversation.advance()? else { continue };
                window.took(time);
                operations += 1;
                if window.is_closed() {
                    asking -= 1;
                } else {
                    conversation.ask()?;
                }
            }
            window.count(operations)?;
        }
        window.tell()?;
    }
    Ok(())
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
