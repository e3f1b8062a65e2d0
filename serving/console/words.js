// Numbers and times as people read them. Next: timeline.js.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export const TASKS = {
  leave_90d: "Leaves within 90 days",
  leave_60d: "Buys nothing in 60 days",
  leave_30d: "Buys nothing in 30 days",
  purchase_30d: "Buys within 30 days",
  visit_30d: "Comes by within 30 days",
  return_90d: "Sends something back within 90 days",
  spend_90d: "Spends within 90 days",
};

export const percent = (share) => {
  const whole = 100 * share;
  if (share > 0 && whole < 1) return "under 1 %";
  if (share < 1 && whole > 99) return "over 99 %";
  return `${Math.round(whole)} %`;
};

export const money = (amount) =>
  amount.toLocaleString("en-GB", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const count = (number, noun) =>
  `${number.toLocaleString("en-GB")} ${noun}${number === 1 ? "" : "s"}`;

export function day(at) {
  const date = new Date(at);
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
}

export function time(at) {
  return `${day(at)}, ${new Date(at).toISOString().slice(11, 16)}`;
}

export function ago(days) {
  if (days < 1) return "today";
  const whole = Math.round(days);
  return whole === 1 ? "1 day ago" : `${whole.toLocaleString("en-GB")} days ago`;
}

export const within = (days) =>
  days < 1 ? "within a day" : `in about ${count(Math.round(days), "day")}`;
