// SOURCE and TARGET as two films in step. TARGET has the sound and the time; SOURCE follows it.

const FAR_S = 0.25; // the films are further apart: jump; nearer: run faster or slower
const NEAR_S = 0.02; // they are in step

const filmOf = { frame: byId("film-frame"), slide: byId("film-slide") };

// Load both films, if there are any, and call `ready` once it is known whether both can be played.
function loadFilms(ready) {
  for (const [kind, url] of [["frame", film.films.source], ["slide", film.films.target]]) {
    const video = filmOf[kind];
    video.onloadedmetadata = video.onerror = ready;
    if (!film.films.source || !film.films.target) video.removeAttribute("src");
    else if (video.getAttribute("src") !== url) video.src = url;
  }
  ready();
}

const canPlay = (video) => video.readyState >= 1 && video.videoWidth > 0 && !video.error;

// Why thumbnails are shown in place of films; empty if both can be played, null if it is not known yet.
function whyNoFilms() {
  if (!film.films.source) return "SOURCE is a folder";
  if (!film.films.target) return film.target_is_film ? "TARGET is not finished" : "TARGET is a folder";
  for (const [kind, name] of [["frame", "SOURCE"], ["slide", "TARGET"]]) {
    const video = filmOf[kind];
    if (video.error || (video.readyState >= 1 && !canPlay(video))) return `this browser cannot play ${name}`;
  }
  return canPlay(filmOf.frame) && canPlay(filmOf.slide) ? "" : null;
}

// Show a slide and its frame, in the middle of the time in which they are shown.
function seekFilms(slide) {
  const frame = slide * film.frames_per_slide;
  filmOf.slide.currentTime = (slide + 0.5) / rate;
  filmOf.frame.currentTime = (frame + 0.5) / film.rate;
}

// Resolves once both films play.
function startFilms() {
  filmOf.frame.currentTime = filmOf.slide.currentTime;
  return Promise.all([filmOf.slide.play(), filmOf.frame.play()]);
}

function stopFilms() {
  for (const video of Object.values(filmOf)) {
    video.pause();
    video.playbackRate = 1;
  }
}

// Keep SOURCE in step. Return the slide that TARGET shows, slideCount at its end.
function followFilms() {
  const { frame: follower, slide: leader } = filmOf;
  const behind = leader.currentTime - follower.currentTime;
  if (Math.abs(behind) > FAR_S && !follower.seeking && !follower.ended) {
    follower.currentTime = leader.currentTime;
  }
  follower.playbackRate = Math.abs(behind) < NEAR_S ? 1 : 1 + Math.max(-0.2, Math.min(0.2, behind));
  return leader.ended ? slideCount : Math.min(slideCount, Math.floor(leader.currentTime * rate + 1e-3));
}
