// The boxes of the network open to their equations and values.
(() => {
  const boxes = [...document.querySelectorAll("a.box")], details = document.getElementById("boxes");
  const opened = (box) => document.getElementById(box.getAttribute("href").slice(1));

  function open(wanted) {
    for (const box of boxes) {
      box.setAttribute("aria-expanded", String(box === wanted));
      opened(box).hidden = box !== wanted;
    }
  }

  inspected.showNetwork = () => {
    details.open = true;
    for (const box of boxes) {
      box.setAttribute("role", "button");
      box.setAttribute("aria-controls", opened(box).id);
      box.addEventListener("click", (event) => {
        event.preventDefault();
        const isOpen = box.getAttribute("aria-expanded") === "true";
        open(isOpen ? null : box);
        if (!isOpen) inspected.say(opened(box).querySelector("h3").textContent + " is open below the drawing.");
      });
      // A link takes Enter alone; a button the space bar too.
      box.addEventListener("keydown", (event) => {
        if (event.key !== " ") return;
        event.preventDefault();
        box.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
      });
    }
    open(null);
  };
})();
