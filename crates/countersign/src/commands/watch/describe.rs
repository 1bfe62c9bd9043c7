//! Machine events in words.

use engine::evidence::MachineEvent;

/// One line for one event.
pub(super) fn event(event: &MachineEvent) -> String {
    let mut line = format!("{}  {:<16}", event.at, event.kind.word());
    let mut add = |word: &str, value: Option<String>| {
        if let Some(value) = value {
            line += &format!(" {word}{value}");
        }
    };
    let text = |value: &Option<engine::evidence::BytePath>| value.as_ref().map(ToString::to_string);
    add("", text(&event.user));
    add("to ", text(&event.target));
    add("from ", text(&event.from));
    add("on ", text(&event.terminal));
    add("by ", text(&event.method));
    add("with ", text(&event.key));
    add("", text(&event.path));
    add("ran ", text(&event.command));
    add("held by ", event.path.as_ref().and_then(|_| text(&event.program)));
    add("· ", text(&event.detail));
    line += &format!(" ({})\n", event.source);
    line
}
