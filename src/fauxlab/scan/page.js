/* Each button shows the verdicts of its kind and hides the others. */
const buttons = document.querySelectorAll("button");
const rows = document.getElementsByTagName("article");
for (const button of buttons) {
  button.onclick = () => {
    const kind = button.dataset.kind;
    for (const other of buttons) {
      other.setAttribute("aria-pressed", other === button);
    }
    for (const row of rows) {
      row.hidden = kind !== "all" && row.dataset.kind !== kind;
    }
  };
}
