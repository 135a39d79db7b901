// Shows the lists of trials.js with jsPsych and saves the answers as CSV.
//
// index.html?participant=2 shows the second list; &id=S07 is the code that is saved, so that several
// people may see one list. Escape ends the experiment early and saves what there is.
// Everything above `start` is plain data in, plain data out.

"use strict";

const FIXATION_MS = 500;
const ESCAPE = "escape";

/** The list that the page's address asks for: {code, keys, trials}; throws if there is none. */
function chosenList(data, search) {
  const asked = new URLSearchParams(search);
  const number = asked.get("participant") ?? "1";
  const found = data.participants.find((one) => String(one.participant) === number);
  if (!found) {
    throw new Error(
      `There is no list for participant "${number}"; there are 1 to ${data.participants.length}.`,
    );
  }
  return { ...found, code: asked.get("id") || `person-${number}` };
}

/** Text as HTML shows it. */
function escaped(text) {
  const named = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return String(text).replace(/[&<>"]/g, (sign) => named[sign]);
}

/** The keys and their answers, as HTML. */
function keyTable(keys) {
  return Object.entries(keys)
    .sort((one, other) => (one[1] < other[1] ? -1 : 1))
    .map(([answer, key]) => `<p><kbd>${escaped(key.toUpperCase())}</kbd> ${escaped(answer)}</p>`)
    .join("");
}

/** What is shown first, as HTML. */
function instructions(data, list) {
  const { viewing_distance_cm: cm, about } = data.experiment;
  return (
    `<p>You will see ${list.trials.length} pictures, one at a time.</p><p>${escaped(about)}</p>` +
    `<p>Answer as quickly and as accurately as you can:</p>${keyTable(list.keys)}` +
    `<p>Please sit ${cm} cm from the screen and look at the cross. <kbd>Esc</kbd> ends and saves.` +
    "</p><p>Press the space bar to begin.</p>"
  );
}

/** The answer that a key stands for, whether or not Caps Lock is on. */
function answerOf(keys, key) {
  return Object.keys(keys).find((answer) => keys[answer] === key.toLowerCase());
}

/** A line of the table of answers, from a trial, the key that was pressed and milliseconds. */
function responseRow(data, list, trial, key, milliseconds) {
  const stimulus = data.stimuli[trial.stimulus];
  const response = answerOf(list.keys, key);
  const all = {
    ...stimulus,
    block: trial.block,
    trial: trial.trial,
    response,
    correct: response === stimulus.answer ? 1 : 0,
    score: "",
    rt: milliseconds / 1000,
    participant: list.code,
  };
  return Object.fromEntries(data.experiment.response_columns.map((name) => [name, all[name]]));
}

/** Rows as CSV, quoted as RFC 4180 says. */
function toCsv(columns, rows) {
  const cell = (value) => {
    const text = String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [columns, ...rows.map((row) => columns.map((name) => row[name]))];
  return lines.map((line) => line.map(cell).join(",") + "\n").join("");
}

/** The file that a participant's answers are saved to. */
function fileName(code) {
  return `responses-${code.replace(/[^\w.-]/g, "_")}.csv`;
}

/** Show text in place of the experiment. */
function say(text) {
  document.body.insertAdjacentHTML("afterbegin", `<p role="alert">${escaped(text)}</p>`);
}

/** jsPsych's timeline: each block with its break, each trial with its fixation cross. */
function timelineOf(jsPsych, data, list, rows) {
  const keys = Object.values(list.keys);
  const blocks = Math.max(...list.trials.map((trial) => trial.block));
  const ends = (key) => key.toLowerCase() === ESCAPE;
  const space = (stimulus) => ({
    type: jsPsychHtmlKeyboardResponse,
    stimulus,
    choices: [" ", ESCAPE],
    on_finish: ({ response }) => ends(response) && jsPsych.abortExperiment(),
  });
  const timeline = [
    {
      type: jsPsychPreload,
      images: list.trials.map((trial) => `../${data.stimuli[trial.stimulus].image}`),
      error_message: "<p>Some pictures are missing: is the folder whole?</p>",
    },
    space(instructions(data, list)),
  ];
  list.trials.forEach((trial, place) => {
    const stimulus = data.stimuli[trial.stimulus];
    if (place > 0 && trial.block !== list.trials[place - 1].block) {
      const done = `<p>Part ${trial.block - 1} of ${blocks} is done. Rest your eyes.</p>`;
      timeline.push(space(`${done}${keyTable(list.keys)}<p>Press the space bar to go on.</p>`));
    }
    timeline.push({
      type: jsPsychHtmlKeyboardResponse,
      stimulus: '<span class="fixation">+</span>',
      choices: "NO_KEYS",
      trial_duration: FIXATION_MS,
    });
    timeline.push({
      type: jsPsychImageKeyboardResponse,
      stimulus: `../${stimulus.image}`,
      choices: [...keys, ESCAPE],
      // A pixel of the picture is one of the screen, whatever the browser calls a pixel.
      stimulus_width: stimulus.width_px / window.devicePixelRatio,
      stimulus_height: stimulus.height_px / window.devicePixelRatio,
      maintain_aspect_ratio: false,
      render_on_canvas: false,
      on_finish: ({ response, rt }) => {
        if (ends(response)) {
          jsPsych.abortExperiment();
        } else {
          rows.push(responseRow(data, list, trial, response, rt));
        }
      },
    });
  });
  return timeline;
}

/** Offer the answers as a file, and begin to save it. */
function save(data, list, rows) {
  const csv = toCsv(data.experiment.response_columns, rows);
  const url = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
  const name = fileName(list.code);
  document.body.innerHTML =
    `<main class="jspsych-content" style="margin: 20vh auto; text-align: center">` +
    `<p>Thank you. ${rows.length} answers are saved as:</p>` +
    `<p><a id="save" href="${url}" download="${escaped(name)}">${escaped(name)}</a></p></main>`;
  document.getElementById("save").click();
}

/** Run the experiment. */
function start() {
  if (typeof initJsPsych === "undefined") {
    say("jsPsych is not here: run 'npm install' in this folder, then load the page again.");
    return;
  }
  let list;
  try {
    list = chosenList(EXPERIMENT, window.location.search);
  } catch (error) {
    say(error.message);
    return;
  }
  document.title = EXPERIMENT.experiment.title;
  const rows = [];
  const jsPsych = initJsPsych({ on_finish: () => save(EXPERIMENT, list, rows) });
  jsPsych.run(timelineOf(jsPsych, EXPERIMENT, list, rows));
}

if (typeof module !== "undefined") {
  module.exports = { chosenList, instructions, answerOf, responseRow, toCsv, fileName };
}
