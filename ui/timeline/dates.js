// Dates as they are written in English.

const MONTHS = [
  ...["January", "February", "March", "April", "May", "June", "July"],
  ...["August", "September", "October", "November", "December"],
];

// "2014-06-15" becomes "15 June 2014"; the month and the day may be missing.
export function formatDate(date) {
  const [year, month, day] = String(date).split("-");
  const name = MONTHS[Number(month) - 1];
  if (!name) return year;
  return day ? `${Number(day)} ${name} ${year}` : `${name} ${year}`;
}

export function shortMonth(index) {
  return MONTHS[index].slice(0, 3);
}

// A year with decimals; with its month where the window shows only a few years.
export function formatYear(year, windowYears) {
  const whole = Math.floor(year);
  if (windowYears > 8) return String(whole);
  return `${shortMonth(Math.floor((year - whole) * 12))} ${whole}`;
}
