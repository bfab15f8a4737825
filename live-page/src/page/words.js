// Numbers and sentences.

/** Seconds as a reader wants them: 3.2 s, 45 ms. */
export function duration(seconds) {
  if (seconds == null) return '–';
  if (seconds < 0.0005) return '0 ms';
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  return `${seconds < 99.95 ? seconds.toFixed(1) : Math.round(seconds)} s`;
}

export function count(number) {
  return number == null ? '–' : number.toLocaleString('en');
}

/** A share of 0 to 1. What is not all is not 100%, what is not nothing is not 0%. */
export function percent(share) {
  if (share > 0 && share < 0.01) return '<1%';
  if (share < 1 && share > 0.99) return '99%';
  return `${Math.round(share * 100)}%`;
}

export function counted(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** An element with a class and text; text is never read as HTML. */
export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text != null) made.textContent = text;
  return made;
}

/** Changes a text only if it differs: the browser then has nothing to lay out. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The table behind a picture. The first cell of each row is its heading. */
export function table(caption, head, rows) {
  const made = element('table');
  made.append(element('caption', 'unseen', caption));
  const line = (cells, part, scope) => {
    const row = part.insertRow();
    cells.forEach((cell, column) => {
      const isHeading = scope === 'col' || column === 0;
      const made = element(isHeading ? 'th' : 'td', '', cell);
      if (isHeading) made.scope = scope;
      row.append(made);
    });
  };
  line(head, made.createTHead(), 'col');
  const body = made.createTBody();
  for (const row of rows) line(row, body, 'row');
  return made;
}
