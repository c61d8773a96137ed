// Connects a class to Streamlit, which calls a component's default export at each rerun.

// The class is made with the element it draws in; it has update(component) and destroy().
export function mount(View) {
  const views = new WeakMap(); // parentElement -> the view in it
  return (component) => {
    const { parentElement } = component;
    let view = views.get(parentElement);
    if (!view) views.set(parentElement, (view = new View(parentElement)));
    view.update(component);
    return () => {
      views.delete(parentElement);
      view.destroy();
    };
  };
}
