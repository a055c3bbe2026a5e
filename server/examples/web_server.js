"use strict";

const hello = document.getElementById("hello");
fetch("/api/hello?name=browser")
  .then((response) => response.json())
  .then(({ message, visits }) => { hello.textContent = `${message} Visit number ${visits}.`; })
  .catch((error) => { hello.textContent = `The server cannot be reached: ${error.message}`; });

document.getElementById("sum").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const [a, b] = [form.a.valueAsNumber, form.b.valueAsNumber];
  const response = await fetch("/api/sum", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ a, b }),
  });
  const answer = await response.json();
  form.result.value = response.ok ? answer.sum : answer.detail;
});
