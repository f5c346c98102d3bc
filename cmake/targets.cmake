# What every target of ours shares. No global flags: each is asked for here.
include(CheckCXXCompilerFlag)

if(CMAKE_CXX_FLAGS MATCHES "-ffast-math|-Ofast|-funsafe-math")
  message(FATAL_ERROR "fast-math flags change what is computed: remove them from CMAKE_CXX_FLAGS")
endif()

# plumbline_target(NAME): warnings, C++20, root-relative includes, no contraction of a*b+c behind our back.
function(plumbline_target name)
  target_compile_features(${name} PUBLIC cxx_std_20)
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_options(${name} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow=local -ffp-contract=off>)
  if(PLUMBLINE_WERROR)
    target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
  endif()
endfunction()
