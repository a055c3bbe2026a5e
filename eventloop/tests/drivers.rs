//! One scenario suite for every driver: each scenario runs on real sockets and on the simulated
//! network, and what clients receive and protocols see must be the same.
#![expect(clippy::unwrap_used, reason = "a failing step of a scenario is a failed test")]

#[path = "drivers/acts.rs"]
mod acts;
#[path = "drivers/busy.rs"]
mod busy;
#[path = "drivers/commands.rs"]
mod commands;
#[path = "drivers/flip.rs"]
mod flip;
#[path = "drivers/kit.rs"]
mod kit;
#[path = "drivers/moving.rs"]
mod moving;
#[path = "drivers/nomad.rs"]
mod nomad;
#[path = "drivers/promises.rs"]
mod promises;
#[path = "drivers/readers.rs"]
mod readers;
#[path = "drivers/real.rs"]
mod real;
#[path = "drivers/relief.rs"]
mod relief;
#[path = "drivers/rig.rs"]
mod rig;
#[path = "drivers/stage.rs"]
mod stage;
#[path = "drivers/sweep.rs"]
mod sweep;
#[path = "drivers/tasks.rs"]
mod tasks;

/// Makes a test of each scenario.
macro_rules! scenarios {
    ($module:ident: $($name:ident),* $(,)?) => { $(
        #[test]
        fn $name() {
            let simulated = $module::$name::<rig::SimRig>();
            let real = $module::$name::<rig::MioRig>();
            assert!(simulated == real, "simulated: {simulated:#?}\nreal: {real:#?}");
        }
    )* };
}

scenarios! { commands:
    everything_in_one_send,
    everything_byte_by_byte,
    everything_eagerly,
    everything_hosted,
    pause_and_resume,
    yield_and_come_back,
    timers_in_order,
    linger_keeps_an_early_answer,
    linger_is_bounded,
    gates_hold_back,
    files_are_read_and_sent,
    a_truncated_file,
    outbound_connections,
    a_panic_is_contained,
    watermarks_bound_output,
    half_close,
    close_reasons,
    a_reset_is_noticed_while_paused,
    out_of_memory,
    mail_between_lanes,
    a_megabyte_of_lines,
    a_flood_starves_nobody,
    idle_connections_hold_no_memory,
}

scenarios! { promises:
    mail_is_ordered_and_bounded,
    mail_to_the_gone,
    wake_asked_for_by_mail,
    marks_are_reached_in_order,
    room_without_commit,
    yield_lasts_for_the_turn,
    stop_drains,
    no_step_after_the_end,
    skipped_input_is_not_seen,
    admission_sheds,
    admission_pauses,
    hosted_output_may_shrink,
    hosted_input_is_limited,
}

scenarios! { moving:
    a_connection_moves_with_all_it_has,
    mail_follows_through_every_lane,
    who_is_busy_or_refuses_stays,
    who_is_not_taken_in_is_closed,
    lanes_that_stop_neither_give_nor_take,
    mail_that_finds_no_room_waits_and_is_dropped,
    a_dead_lane_leaves_nothing_to_forward_to,
}

scenarios! { readers:
    whoever_reads_nothing_is_closed,
    a_byte_at_a_time_is_too_slow,
    whoever_reads_nothing_of_a_last_answer_is_closed,
    whoever_reads_nothing_while_we_linger_is_closed,
}

scenarios! { relief:
    the_costliest_are_shed,
    who_does_not_answer_is_closed,
    nobody_is_shed_for_what_is_kept_for_reuse,
}

scenarios! { tasks:
    tasks_finish_out_of_order,
    tasks_wake_each_other,
    a_task_woken_at_the_end_of_a_turn,
    a_panic_in_a_task,
    tasks_are_cancelled_on_close,
    more_tasks_than_a_turn_polls,
    jobs_come_back,
}
