// Keyboard shortcuts of a component.

// Calls the action of the key that was pressed, if it has one. Combinations with Ctrl, Alt or the
// command key belong to the browser; Streamlit has shortcuts of its own, so the event stops here.
export function handleKey(event, actions) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  event.stopPropagation();
  action();
}
