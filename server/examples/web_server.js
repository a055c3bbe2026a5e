"use strict";

const hello = document.getElementById("hello");
fetch("/api/hello?name=browser")
  .then((response) => response.json())
  .then(({ message, visits }) => { hello.textContent = `${message} Visit number ${visits}.`; })
  .catch((error) => { hello.textContent = `The server cannot be reached: ${error.message}`; });

const form = document.getElementById("sum");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [a, b] = [form.a.valueAsNumber, form.b.valueAsNumber];
  try {
    const response = await fetch("/api/sum", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ a, b }),
    });
    const answer = await response.json();
    form.result.value = response.ok ? `= ${answer.sum}` : answer.detail;
  } catch (error) {
    form.result.value = error.message;
  }
});
form.requestSubmit();

const clock = document.getElementById("clock");
new EventSource("/api/clock").addEventListener("message", (event) => {
  const now = new Date(Number(event.data));
  clock.dateTime = now.toISOString();
  clock.textContent = now.toLocaleTimeString();
});
